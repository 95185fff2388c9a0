/* A STOMP client that hides nothing: frames as they are asked for, a call for each receipt, and no reconnection. */
import { connect } from 'node:net';
import { encodeFrame, Frame, FrameDecoder } from 'nestjs-stomp/frame';

export class Peer {
  /** Told of an ERROR. */
  onError = () => undefined;
  #socket;
  #receipts = new Map();
  #handlers = new Map();
  #serial = 0;
  #connected;

  /** @returns a promise that fails when the broker is gone before it answers */
  static async open(url, headers = {}) {
    const peer = new Peer();
    const { port, hostname: host } = new URL(url);
    peer.#socket = connect({ host, port: Number(port), noDelay: true });
    peer.#socket.on('error', () => undefined);
    peer.closed = new Promise((resolve) => peer.#socket.on('close', resolve));
    const decoder = new FrameDecoder({ version: '1.2', onFrame: (frame) => peer.#take(frame) });
    peer.#socket.on('data', (chunk) => decoder.push(chunk));
    const answered = new Promise((resolve) => (peer.#connected = resolve));
    peer.send('CONNECT', { 'accept-version': '1.2', host: '/', ...headers });
    await Promise.race([answered, peer.closed.then(() => Promise.reject(new Error('the connection was lost')))]);
    return peer;
  }

  /** @param done called when the receipt has come; without it none is asked for */
  send(command, headers, body = '', done = undefined) {
    if (done !== undefined) {
      const receipt = String(++this.#serial);
      this.#receipts.set(receipt, done);
      headers = { ...headers, receipt };
    }
    if (this.#socket.writable) this.#socket.write(encodeFrame(new Frame(command, headers, body), { version: '1.2' }));
  }

  /** @returns a promise of the receipt; it stays open when the broker is gone */
  subscribe(headers, onMessage) {
    const id = String(++this.#serial);
    this.#handlers.set(id, onMessage);
    return new Promise((resolve) => this.send('SUBSCRIBE', { id, ...headers }, '', resolve));
  }

  cut() {
    this.#socket.destroy();
  }

  #take(frame) {
    const { command, headers } = frame;
    if (command === 'MESSAGE') this.#handlers.get(headers.get('subscription'))?.(frame);
    else if (command === 'RECEIPT') {
      const id = headers.get('receipt-id');
      const done = this.#receipts.get(id);
      this.#receipts.delete(id);
      done?.();
    } else if (command === 'CONNECTED') this.#connected();
    else this.onError(`${headers.get('message')}: ${frame.text}`);
  }
}
