/*
 * What SEND and SUBSCRIBE name, in the words of this broker: a list of destinations, as ActiveMQ has it, or an address
 * of Artemis, which has no prefix. Its kind stands in a header, and the name of a queue may stand behind it.
 *
 *   /queue/a,/topic/b                     each of them
 *   orders, ANYCAST                       /queue/orders
 *   orders, MULTICAST or nothing said     the topic of that name
 *   news::mine in a SUBSCRIBE             the topic news, whose messages wait in the queue mine
 *   news::mine in a SEND, or ANYCAST      /queue/mine
 */
import { type FrameHeaders, StompError } from 'nestjs-stomp/server';
import { readDestination } from './name.js';

type Action = 'send' | 'subscribe';

/** Parts an address of Artemis from the name of a queue. */
const QUALIFIED = '::';

/**
 * All destinations that a SEND or SUBSCRIBE names. A comma that is not followed by a slash belongs to a name.
 *
 * @throws StompError when a prefix and Artemis' header contradict each other, or an address or a queue has no name
 */
export function destinationsOf(destination: string, action: Action, headers: FrameHeaders): string[] {
  const kind = readKind(action, headers);
  if (!destination.startsWith('/')) return [readAddress(destination, action, kind)];
  const parts = destination.split(/,(?=\/)/);
  if (kind !== undefined) for (const part of parts) checkKind(part, kind);
  return parts;
}

/** The queue in which the messages of a topic are to wait, where the destination of a SUBSCRIBE names one. */
export function readQualified(headers: FrameHeaders): string | undefined {
  const destination = headers.get('destination') ?? '';
  if (destination.startsWith('/') || readKind('subscribe', headers) === 'ANYCAST') return undefined;
  const at = destination.indexOf(QUALIFIED);
  return at < 0 ? undefined : destination.slice(at + QUALIFIED.length);
}

/** Whether one consumer gets a message, or each; what else may stand in these headers is somebody else's. */
function readKind(action: Action, headers: FrameHeaders): 'ANYCAST' | 'MULTICAST' | undefined {
  const own = action === 'subscribe' ? headers.get('subscription-type') : undefined;
  const kind = own ?? headers.get('destination-type');
  return kind === 'ANYCAST' || kind === 'MULTICAST' ? kind : undefined;
}

function readAddress(destination: string, action: Action, kind: string | undefined): string {
  const at = destination.indexOf(QUALIFIED);
  if (at < 0) return kind === 'ANYCAST' && destination !== '' ? `/queue/${destination}` : destination;
  const address = destination.slice(0, at);
  const queue = destination.slice(at + QUALIFIED.length);
  if (address === '' || queue === '') {
    throw new StompError('invalid destination', 'an address and a queue have a name each, like news::mine');
  }
  return kind === 'ANYCAST' || action === 'send' ? `/queue/${queue}` : address;
}

function checkKind(destination: string, kind: 'ANYCAST' | 'MULTICAST'): void {
  const own = readDestination(destination).kind.endsWith('queue') ? 'ANYCAST' : 'MULTICAST';
  if (own === kind) return;
  const detail = `the prefix of ${destination} says ${own}, and the header ${kind}: leave one of them out`;
  throw new StompError('invalid header', detail);
}
