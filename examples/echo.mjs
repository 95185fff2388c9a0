// @ts-check
// An echo server: what a client sends to a destination comes back to the subscriptions it has there itself.
//   npm run build && node examples/echo.mjs 61613
import { StompServer } from 'nestjs-stomp/server';

/** @type {import('nestjs-stomp/server').Route} */
const echo = {
  send(message, session, done) {
    for (const subscription of session.subscriptions.values()) {
      if (subscription.destination !== message.destination) continue;
      subscription.send(message);
      // Who does not read the echo is not read either.
      if (!subscription.ready) subscription.slow(session);
    }
    done?.();
  },
  subscribe(subscription, done) {
    subscription.prefetch = Infinity;
    done();
  },
  unsubscribe() {},
};

/** @type {import('nestjs-stomp/server').Broker} */
const broker = { route: () => echo };
const server = new StompServer({ broker });
const { url } = await server.listen({ port: Number(process.argv[2] ?? 61613) });
console.log(`listening ${url}`);
process.once('SIGTERM', () => server.close());
