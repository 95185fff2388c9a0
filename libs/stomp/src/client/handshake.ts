import { quote } from '../frame/error.js';
import { Frame } from '../frame/frame.js';
import type { FrameHeaders } from '../frame/headers.js';
import type { Version } from '../frame/version.js';
import { agreeHeartBeat, type HeartBeatOffer, parseHeartBeat } from '../wire/heartbeat.js';
import { ProtocolError } from './errors.js';

/** What a CONNECT frame says. */
export interface Greeting {
  readonly host: string;
  readonly login: string | undefined;
  readonly passcode: string | undefined;
  readonly versions: readonly Version[];
  readonly heartbeat: HeartBeatOffer;
  /** Further headers; those of the protocol are left out. */
  readonly headers: FrameHeaders;
}

/** What a CONNECTED frame says. */
export interface Welcome {
  readonly version: Version;
  readonly session: string | undefined;
  readonly server: string | undefined;
  /** As agreed on: how often we beat, how often we may expect to hear something, in ms. */
  readonly heartbeat: HeartBeatOffer;
}

const OWN = ['accept-version', 'host', 'login', 'passcode', 'heart-beat', 'content-length', 'receipt'];

/**
 * The first frame of a session (STOMP 1.2, CONNECT or STOMP Frame).
 *
 * @throws TypeError when credentials or host cannot be written: CONNECT has no escapes
 */
export function connectFrame(greeting: Greeting): Frame {
  const { login, passcode, heartbeat } = greeting;
  const frame = new Frame('CONNECT', [['accept-version', greeting.versions.join(',')]]);
  // Checked here, because the encoder would quote the value in its error.
  const add = (name: string, value: string) => {
    // eslint-disable-next-line no-control-regex -- these end a name, a line or a frame
    if (/[\r\n\u0000]/.test(value) || /[\r\n\u0000:]/.test(name))
      throw new TypeError(`${name}: it holds a line break or a NUL, which CONNECT cannot carry`);
    frame.headers.add(name, value);
  };
  add('host', greeting.host);
  if (login !== undefined) add('login', login);
  if (passcode !== undefined) add('passcode', passcode);
  add('heart-beat', `${heartbeat.outgoing},${heartbeat.incoming}`);
  for (const [name, value] of greeting.headers) if (!OWN.includes(name)) add(name, value);
  return frame;
}

/**
 * Reads the answer (STOMP 1.2, CONNECTED Frame, Protocol Negotiation). A server that names no version speaks 1.0.
 *
 * @throws ProtocolError for a version that was not offered, or a heart-beat header that cannot be read
 */
export function readConnected(frame: Frame, greeting: Pick<Greeting, 'versions' | 'heartbeat'>): Welcome {
  const named = frame.headers.get('version')?.trim() ?? '1.0';
  const version = greeting.versions.find((offered) => offered === named);
  if (version === undefined) {
    throw new ProtocolError(
      `the server chose STOMP ${quote(named)}, which was not offered: ${greeting.versions.join(', ')}`,
    );
  }
  const theirs = parseHeartBeat(frame.headers.get('heart-beat'));
  if (theirs === undefined) throw new ProtocolError('the server sent a heart-beat header that is not two counts of ms');
  return {
    version,
    session: frame.headers.get('session'),
    server: frame.headers.get('server'),
    // Heart-beats came with 1.1.
    heartbeat: version === '1.0' ? { outgoing: 0, incoming: 0 } : agreeHeartBeat(greeting.heartbeat, theirs),
  };
}
