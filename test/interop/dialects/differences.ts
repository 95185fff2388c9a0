import { type Dialect, type Fact } from './stage.js';

/** What our broker does on purpose in another way than the broker whose clients it serves. */
export interface Difference {
  readonly dialect: Dialect;
  /** The title of the scenario in which it is seen. */
  readonly scenario: string;
  readonly fact: string;
  readonly ours: Fact;
  readonly theirs: Fact;
  readonly reason: string;
}

export const differences: readonly Difference[] = [];
