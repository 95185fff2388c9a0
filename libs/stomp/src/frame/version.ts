/** A version of the STOMP protocol. */
export type Version = '1.0' | '1.1' | '1.2';

/** The versions this library speaks, oldest first. */
export const VERSIONS: readonly Version[] = ['1.0', '1.1', '1.2'];

/**
 * The highest version that both ends speak (STOMP 1.2, Protocol Negotiation). The order of the list, blanks in it
 * and versions nobody knows do not matter; no list at all means a client that only speaks 1.0.
 *
 * @param accepted the `accept-version` header of a CONNECT frame
 * @returns undefined when there is no common version
 */
export function negotiateVersion(accepted: string | undefined): Version | undefined {
  if (accepted === undefined) return '1.0';
  const offered = accepted.split(',').map((version) => version.trim());
  return [...VERSIONS].reverse().find((version) => offered.includes(version));
}
