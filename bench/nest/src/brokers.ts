import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** The ports of the brokers that run, all on loopback. */
export interface Ports {
  readonly stompserver: number;
  readonly amqp: number;
  readonly rabbitStomp: number;
  readonly mqtt: number;
  readonly nats: number;
  readonly tcp: number;
}

const PATIENCE = 120_000;
const PROGRAMS = {
  'rabbitmq-server': '/usr/lib/rabbitmq/bin/rabbitmq-server',
  mosquitto: '/usr/sbin/mosquitto',
  'nats-server': '/usr/sbin/nats-server',
};
const STOMPSERVER = fileURLToPath(new URL('../../../apps/broker/bin/stompserver.js', import.meta.url));

/** Brokers of our own, that share nothing with services of the machine and leave nothing behind. */
export class Brokers {
  private readonly folder = mkdtempSync(join(tmpdir(), 'nest-bench-'));
  private readonly children: ChildProcess[] = [];

  /** @throws Error that names the Debian packages that are missing */
  async start(): Promise<Ports> {
    const missing = Object.entries(PROGRAMS).filter(([, program]) => !existsSync(program));
    if (missing.length > 0) throw new Error(`apt-get install ${missing.map(([name]) => name).join(' ')}`);
    const [stompserver, amqp, rabbitStomp, mqtt, nats, tcp, epmd, distribution] = await freePorts(8);
    const ports = { stompserver, amqp, rabbitStomp, mqtt, nats, tcp } as Ports;

    const mosquitto = join(this.folder, 'mosquitto.conf');
    // Without the limit of waiting messages, as the others: what is dropped would count as fast.
    writeFileSync(mosquitto, `listener ${mqtt} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n`);
    this.run(`${PROGRAMS.mosquitto} -c ${mosquitto} &`);
    this.run(`${PROGRAMS['nats-server']} -a 127.0.0.1 -p ${nats} &`);
    this.run(`${process.execPath} ${STOMPSERVER} --host 127.0.0.1 --port ${stompserver} --vhosts bench,unreceipted &`);

    const plugins = join(this.folder, 'enabled_plugins');
    const config = join(this.folder, 'rabbitmq.conf');
    writeFileSync(plugins, '[rabbitmq_stomp].\n');
    writeFileSync(config, `listeners.tcp.1 = 127.0.0.1:${amqp}\nstomp.listeners.tcp.1 = 127.0.0.1:${rabbitStomp}\n`);
    writeFileSync(join(this.folder, 'empty'), '');
    this.run(`epmd -port ${epmd} -address 127.0.0.1 & ${PROGRAMS['rabbitmq-server']} &`, {
      HOME: this.folder, // For the cookie of Erlang.
      ERL_EPMD_PORT: String(epmd),
      RABBITMQ_NODENAME: `nest-bench-${amqp}@localhost`,
      RABBITMQ_DIST_PORT: String(distribution),
      RABBITMQ_MNESIA_BASE: join(this.folder, 'mnesia'),
      RABBITMQ_LOG_BASE: join(this.folder, 'log'),
      RABBITMQ_PID_FILE: join(this.folder, 'pid'),
      RABBITMQ_ENABLED_PLUGINS_FILE: plugins,
      RABBITMQ_CONFIG_FILE: config,
      RABBITMQ_CONF_ENV_FILE: join(this.folder, 'empty'),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    });
    await Promise.all([stompserver, amqp, rabbitStomp, mqtt, nats].map((port) => answers(port!)));
    return ports;
  }

  async stop(): Promise<void> {
    for (const child of this.children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.stdin!.end();
      await once(child, 'exit');
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Runs a command of the shell until `stop`, or until this process ends in whatever way. */
  private run(command: string, env: NodeJS.ProcessEnv = {}): void {
    // The shell leads a group of processes, and ends all of it when its standard input does.
    const line = `exec 3<&0; { ${command} } < /dev/null > output-$$ 2>&1; cat <&3; kill -9 0`;
    this.children.push(
      spawn('sh', ['-c', line], {
        cwd: this.folder,
        env: { ...process.env, ...env },
        stdio: ['pipe', 'ignore', 'ignore'],
        detached: true,
      }),
    );
  }
}

async function answers(port: number): Promise<void> {
  for (const end = Date.now() + PATIENCE; Date.now() < end; await setTimeout(100)) {
    const socket = connect(port, '127.0.0.1');
    const connected = await new Promise((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (connected) return;
  }
  throw new Error(`nothing listens on port ${port} after ${PATIENCE} ms`);
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
