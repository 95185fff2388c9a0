/** A glob on media types: `*` is any text, `?` any character. Case does not matter. */
export class MediaTypePattern {
  private readonly pattern: string;
  /** Whether the pattern says something of parameters, such as `;charset=utf-8`. */
  private readonly parameters: boolean;
  // Most messages are of the type of the one before.
  private last: string | undefined;
  private lastMatches = false;

  constructor(pattern: string) {
    this.parameters = pattern.includes(';');
    this.pattern = normal(pattern);
  }

  /** @param contentType the header; undefined for a message without one, which only `*` matches */
  matches(contentType: string | undefined): boolean {
    const given = contentType ?? '';
    if (given === this.last) return this.lastMatches;
    const type = this.parameters ? given : given.split(';', 1)[0]!;
    this.last = given;
    this.lastMatches = glob(this.pattern, normal(type));
    return this.lastMatches;
  }
}

/** Blanks around a semicolon mean nothing. */
function normal(type: string): string {
  // Not by a regular expression: it would look at many blanks again and again.
  return type
    .toLowerCase()
    .split(';')
    .map((part) => part.trim())
    .join(';');
}

/** Whether all of the text fits. Not by a regular expression: some patterns would take ages over a hostile header. */
function glob(pattern: string, text: string): boolean {
  let at = 0;
  let star = -1;
  let resume = 0;
  for (let i = 0; i < text.length;) {
    if (pattern[at] === '*') {
      star = at++;
      resume = i;
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === text[i])) {
      at++;
      i++;
    } else if (star >= 0) {
      // The last star takes one character more.
      at = star + 1;
      i = ++resume;
    } else return false;
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}
