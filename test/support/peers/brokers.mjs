/*
 * Other people's brokers as processes of their own: nothing of theirs is shared with the machine's services, they
 * listen on loopback, and they go with the process that started them, in whatever way that ends.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long a broker may take to answer CONNECT, in ms; machines that run many tests at a time are slow. */
const PATIENCE = 120_000;
const RABBITMQ = '/usr/lib/rabbitmq/bin/rabbitmq-server';
const ACTIVEMQ = '/usr/share/activemq/bin/activemq.jar';

/** What these tests log in with. */
export const CREDENTIALS = { login: 'guest', passcode: 'guest' };

/**
 * @typedef {object} Description
 * @property {string} program whose presence tells whether the broker is installed
 * @property {string} debian the Debian package
 * @property {(folder: string, options: Options) => Promise<{ port: number, script: string, env: Record<string, string> }>} prepare
 */

/**
 * @typedef {object} Options
 * @property {boolean} [persistent] whether ActiveMQ keeps messages on its disk; RabbitMQ always does
 * @property {string} [java] options of the Java virtual machine; by default those of a short life
 */

/** @type {Record<string, Description>} */
export const brokers = {
  rabbitmq: {
    program: RABBITMQ,
    debian: 'rabbitmq-server',
    async prepare(folder) {
      const [epmd, distribution, amqp, port] = await freePorts(4);
      writeFileSync(join(folder, 'enabled_plugins'), '[rabbitmq_stomp].\n');
      const listeners = `listeners.tcp.1 = 127.0.0.1:${amqp}\nstomp.listeners.tcp.1 = 127.0.0.1:${port}\n`;
      writeFileSync(join(folder, 'rabbitmq.conf'), listeners);
      writeFileSync(join(folder, 'no-environment'), '');
      const env = {
        HOME: folder, // For the cookie of Erlang.
        ERL_EPMD_PORT: String(epmd),
        RABBITMQ_NODENAME: `nestjs-stomp-${port}@localhost`,
        RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
        RABBITMQ_NODE_PORT: String(amqp),
        RABBITMQ_DIST_PORT: String(distribution),
        RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
        RABBITMQ_LOG_BASE: join(folder, 'log'),
        RABBITMQ_LOGS: '-',
        RABBITMQ_PID_FILE: join(folder, 'pid'),
        RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
        RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
        RABBITMQ_CONF_ENV_FILE: join(folder, 'no-environment'),
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
      };
      return { port, env, script: `epmd -port ${epmd} -address 127.0.0.1 & ${RABBITMQ} &` };
    },
  },
  activemq: {
    program: ACTIVEMQ,
    debian: 'activemq',
    async prepare(folder, { persistent = false, java = '-Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1' }) {
      const [port] = await freePorts(1);
      const { login, passcode } = CREDENTIALS;
      const schema = 'http://activemq.apache.org/schema/core';
      writeFileSync(
        join(folder, 'activemq.xml'),
        `<beans xmlns="http://www.springframework.org/schema/beans" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans.xsd ${schema} ${schema}/activemq-core.xsd">
  <broker xmlns="${schema}" brokerName="test" persistent="${persistent}" useJmx="false" schedulerSupport="true">
    <destinationPolicy><policyMap><policyEntries><policyEntry queue=">"><deadLetterStrategy>
      <individualDeadLetterStrategy queuePrefix="DLQ." useQueueForQueueMessages="true" processNonPersistent="true"/>
    </deadLetterStrategy></policyEntry></policyEntries></policyMap></destinationPolicy>
    <plugins>
      <simpleAuthenticationPlugin>
        <users><authenticationUser username="${login}" password="${passcode}" groups="users"/></users>
      </simpleAuthenticationPlugin>
    </plugins>
    <transportConnectors><transportConnector uri="stomp://127.0.0.1:${port}"/></transportConnectors>
  </broker>
</beans>
`,
      );
      mkdirSync(join(folder, 'data'));
      const properties = {
        'activemq.home': '/usr/share/activemq',
        'activemq.base': folder,
        'activemq.conf': folder,
        'activemq.data': join(folder, 'data'),
        'java.io.tmpdir': folder,
      };
      const options = Object.entries(properties).map(([name, value]) => `-D${name}=${value}`);
      const command = `java ${java} ${options.join(' ')}`;
      return {
        port,
        env: {},
        script: `${command} -jar ${ACTIVEMQ} start xbean:file:${join(folder, 'activemq.xml')} &`,
      };
    },
  },
};

/** @param {string} name of `brokers` */
export const installed = (name) => existsSync(brokers[name].program);

/**
 * A broker that runs.
 *
 * @param {string} name of `brokers`
 * @param {Options} [options]
 */
export async function start(name, options = {}) {
  const folder = mkdtempSync(join(tmpdir(), `nestjs-stomp-${name}-`));
  const { port, script, env } = await brokers[name].prepare(folder, options);
  let run = await launch();

  return {
    url: `stomp://127.0.0.1:${port}`,
    ...CREDENTIALS,
    /** As after a crash: with what it has on its disk, on the same port. */
    async restart() {
      await run.kill();
      run = await launch();
    },
    async stop() {
      await run.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };

  async function launch() {
    const log = join(folder, 'output');
    // The shell leads a group of its own, and ends all of it when its standard input does.
    const child = spawn('sh', ['-c', `exec 3<&0; { ${script} } < /dev/null > ${log} 2>&1; cat <&3; kill -9 0`], {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    const ended = once(child, 'close');
    child.unref();
    child.stdin.unref?.();
    const kill = async () => {
      child.ref();
      child.stdin.end();
      await ended;
    };
    const due = performance.now() + PATIENCE;
    while (!(await answers(port))) {
      if (performance.now() > due) {
        const output = readFileSync(log, 'utf8').slice(-4000);
        await kill();
        throw new Error(`${name} did not come up within ${PATIENCE} ms:\n${output}`);
      }
      await sleep(100);
    }
    return { kill };
  }
}

/** Whether a broker answers CONNECT on that port. */
function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.setTimeout(5_000, () => socket.destroy());
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(false));
    const { login, passcode } = CREDENTIALS;
    socket.write(`CONNECT\naccept-version:1.2\nhost:/\nlogin:${login}\npasscode:${passcode}\n\n\0`);
    socket.once('data', (data) => {
      resolve(data.toString().startsWith('CONNECTED'));
      socket.end('DISCONNECT\n\n\0');
    });
  });
}

/** Ports on which nobody listens at the moment. */
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
