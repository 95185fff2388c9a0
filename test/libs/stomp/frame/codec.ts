import { it } from '@jest/globals';
import { type Frame, FrameDecoder, FrameError, type FrameDecoderOptions, type Version } from 'nestjs-stomp/frame';

export const ALL: readonly Version[] = ['1.0', '1.1', '1.2'];
export const SINCE_1_1: readonly Version[] = ['1.1', '1.2'];

/** One test per version of a rule of the protocol, by its number in the list of rules (see test/conformance). */
export function rule(
  numbers: string,
  versions: readonly Version[],
  text: string,
  test: (version: Version) => void,
): void {
  for (const version of versions) it(`${numbers} [${version}] ${text}`, () => test(version));
}

/** What a frame says, to be compared. */
export interface Plain {
  readonly command: string;
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>;
  readonly body: string;
}

export const plain = (frame: Frame): Plain => ({
  command: frame.command,
  headers: [...frame.headers],
  body: frame.body.toString('latin1'),
});

type Octets = string | Uint8Array;

/** Text as UTF-8. */
export const octets = (text: Octets): Buffer => Buffer.from(text as string);

/** The frames in these chunks. */
export function decode(version: Version | undefined, chunks: Octets | readonly Octets[], limits = {}): Frame[] {
  const frames: Frame[] = [];
  const decoder = new FrameDecoder({
    ...(version === undefined ? {} : { version }),
    ...limits,
    onFrame: (frame) => frames.push(frame),
  });
  for (const chunk of Array.isArray(chunks) ? (chunks as Octets[]) : [chunks as Octets]) decoder.push(octets(chunk));
  return frames;
}

/** The one frame in these octets. */
export function one(version: Version | undefined, text: Octets): Plain {
  const frames = decode(version, text);
  if (frames.length !== 1) throw new Error(`${frames.length} frames, not one`);
  return plain(frames[0]!);
}

/** The fault of these octets. */
export function fault(
  version: Version | undefined,
  text: Octets,
  limits: Omit<FrameDecoderOptions, 'onFrame'> = {},
): FrameError {
  try {
    decode(version, text, limits);
  } catch (error) {
    if (error instanceof FrameError) return error;
    throw error;
  }
  throw new Error('no fault');
}

/** Cuts octets at these places. */
export function cut(bytes: Buffer, ...places: number[]): Buffer[] {
  const edges = [0, ...places, bytes.length];
  return edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge));
}
