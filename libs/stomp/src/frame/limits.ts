/** What a decoder refuses to read past; each in bytes but `maxHeaders`. */
export interface FrameLimits {
  /** The command line; 1 KiB by default. */
  maxCommand?: number;
  /** One header line; 10 KiB by default. */
  maxHeader?: number;
  /** The number of headers of a frame; 1,000 by default. */
  maxHeaders?: number;
  /** The body; 16 MiB by default. */
  maxBody?: number;
  /** The frame in all, from its command to the end of its body; no limit of its own by default. */
  maxFrame?: number;
}

/** The limits of a decoder that is told nothing else. */
export const DEFAULT_LIMITS: Readonly<Required<FrameLimits>> = {
  maxCommand: 1024,
  maxHeader: 10 * 1024,
  maxHeaders: 1000,
  maxBody: 16 * 1024 * 1024,
  maxFrame: Number.POSITIVE_INFINITY,
};
