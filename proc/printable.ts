/**
 * What a terminal or a log viewer could take for a command, or a reader for other text than it is: C0 and C1
 * controls (ESC, CSI), DEL, line separators, bidirectional overrides, zero-width marks (D-037).
 */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** `text` on one line, safe to print, with what is unsafe shown as `\uXXXX` and what is too long cut off with `…`. */
export function printable(text: string, maxLength = 2048): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return cut.replace(UNSAFE, escapeCharacter);
}

/** The same character as a JSON escape, so that it may be used inside a line of JSON. */
export function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
