import { Frame } from '../frame/frame.js';
import { FrameHeaders } from '../frame/headers.js';
import { negotiateVersion, type Version, VERSIONS } from '../frame/version.js';
import { quote, quoteCommand } from '../frame/error.js';
import { type HeartBeatOffer, parseHeartBeat } from '../wire/heartbeat.js';
import { StompError } from './error.js';

/** What a CONNECT frame asks for (STOMP 1.2, CONNECT or STOMP Frame). */
export interface Handshake {
  readonly version: Version;
  readonly vhost: string;
  readonly heartbeat: HeartBeatOffer;
  /** By which ActiveMQ and Artemis let a client know which CONNECT was answered. */
  readonly requestId: string | undefined;
}

/**
 * Reads the first frame of a session.
 *
 * @throws StompError when it is no CONNECT, has no version in common with us, or names an unknown virtual host
 */
export function readHandshake(frame: Frame, vhosts: readonly string[]): Handshake {
  if (frame.command !== 'CONNECT' && frame.command !== 'STOMP') {
    throw new StompError(
      'not connected',
      `the first frame is ${quoteCommand(frame.command)}: it has to be CONNECT or STOMP`,
    );
  }
  const accepted = frame.headers.get('accept-version');
  const version = negotiateVersion(accepted);
  if (version === undefined) {
    throw new StompError('no common version', `Supported protocol versions are ${VERSIONS.join(' ')}`, {
      version: VERSIONS.join(','),
    });
  }
  // Clients of 1.0 pad values with blanks, as the examples of its specification do.
  if (version === '1.0') {
    frame.headers = new FrameHeaders([...frame.headers].map(([name, value]) => [name, value.trim()] as const));
  }
  const heartbeat = parseHeartBeat(frame.headers.get('heart-beat'));
  if (heartbeat === undefined) {
    throw new StompError('malformed heart-beat', 'the heart-beat header is two counts of milliseconds, like 1000,1000');
  }
  return {
    version,
    vhost: chooseVhost(vhosts, frame.headers.get('host')),
    heartbeat: offerIn(version, heartbeat),
    requestId: frame.headers.get('request-id'),
  };
}

/** What of an offer to beat counts in that version: heart-beats came with 1.1. */
export function offerIn(version: Version, offer: HeartBeatOffer): HeartBeatOffer {
  return version === '1.0' ? { outgoing: 0, incoming: 0 } : offer;
}

/**
 * The answer to a CONNECT that was granted (STOMP 1.2, CONNECTED Frame).
 *
 * @param session its id
 * @param server an empty text is left out
 * @param offer how often the server can beat, and wants to hear something
 */
export function connectedFrame(
  { version, requestId }: Handshake,
  session: string,
  server: string,
  offer: HeartBeatOffer,
): Frame {
  return new Frame('CONNECTED', [
    ['version', version],
    ['session', session],
    ...(server === '' ? [] : [['server', server] as const]),
    ['heart-beat', `${offer.outgoing},${offer.incoming}`],
    ...(requestId === undefined ? [] : [['response-id', requestId] as const]),
  ]);
}

function chooseVhost(vhosts: readonly string[], host: string | undefined): string {
  if (host === undefined) return vhosts[0] ?? '*';
  const found = findVhost(vhosts, host);
  if (found === undefined) {
    throw new StompError('unknown virtual host', `the virtual host ${quote(host)} does not exist here`);
  }
  return found;
}

/** The entry, a name or a glob, that a host belongs to. One that is named outright comes before a glob that takes it too. */
export function findVhost(vhosts: readonly string[], host: string): string | undefined {
  const name = host.trim().toLowerCase();
  return vhosts.find((entry) => entry.toLowerCase() === name) ?? vhosts.find((entry) => matches(entry, name));
}

/**
 * Hosts are whatever a client says before its login: however many asterisks there are, it takes no more steps than the
 * two lengths come to, multiplied.
 */
function matches(glob: string, name: string): boolean {
  const wanted = glob.toLowerCase();
  let at = 0;
  let star = -1;
  let taken = 0;
  for (let next = 0; next < name.length;) {
    if (wanted[at] === '*') {
      star = at++;
      taken = next;
    } else if (wanted[at] === '?' || wanted[at] === name[next]) {
      at++;
      next++;
    } else if (star >= 0) {
      // The last asterisk takes one more: those before it have their part.
      at = star + 1;
      next = ++taken;
    } else return false;
  }
  while (wanted[at] === '*') at++;
  return at === wanted.length;
}
