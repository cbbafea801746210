/**
 * What a terminal or a log viewer could take for a command, or a reader for other text than it is: C0 and C1
 * controls (ESC, CSI), DEL, line separators, bidirectional overrides, zero-width marks (D-037).
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** `text` on one line, safe to print, with what is unsafe shown as `\uXXXX` and what is too long cut off with `…`. */
export function printable(text: string, maxLength = 2048): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength)}…` : text;
  return cut.replace(UNSAFE, escapeCharacter);
}

/** The same character as JSON escapes, one for each UTF-16 unit, so that it may be used inside a line of JSON. */
export function escapeCharacter(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
