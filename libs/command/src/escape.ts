/**
 * What a terminal may take for commands, or shows as something else: control characters of both sets, line separators of
 * Unicode, and what turns the direction of text around.
 */
const unsafe = /[\p{Cc}\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff]/gu;
const shortEscapes: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Text on one line, whatever stands in it. */
export function escapeText(text: string): string {
  return text.replace(unsafe, (character) => shortEscapes[character] ?? codeEscape(character));
}

/** Text on as many lines as it has, for a terminal: tabs and line feeds stay. */
export function escapeLines(text: string): string {
  return text.replace(unsafe, (character) => (/[\t\n]/.test(character) ? character : codeEscape(character)));
}

/** JSON.stringify leaves the second set of control characters and Unicode's separators as they are. */
export function escapeJson(json: string): string {
  return json.replace(unsafe, codeEscape);
}

function codeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
