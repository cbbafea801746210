import {formatImage, parseImage} from '../../oci/reference.ts';
import {CommandError, EXIT} from '../../proc/command.ts';

/** The image in full, as typed on the command line. @throws {CommandError} for wrong usage. */
export function readImage(text: string | undefined): string {
  try {
    return formatImage(parseImage(text ?? ''));
  } catch (error) {
    throw new CommandError(EXIT.usage, error instanceof SyntaxError ? error.message : 'Not an image name', {
      cause: error,
    });
  }
}
