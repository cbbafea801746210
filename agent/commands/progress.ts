import {printable} from '../../proc/printable.ts';
import type {PullEvent} from '../api/backend.ts';
import {humanSize, shortDigest} from './human.ts';

/** Where a pull's progress is shown. */
export interface Screen {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** Shows how far a pull is: a bar that moves on a terminal, a line a blob elsewhere. */
export class Progress {
  readonly #screen: Screen;
  readonly #image: string;
  readonly #now: () => number;
  #totalBytes = 0;
  #blobs = 0;
  #startedAt: number;
  #isDrawn = false;

  constructor(screen: Screen, image: string, now: () => number) {
    this.#screen = screen;
    this.#image = printable(image, 512);
    this.#now = now;
    this.#startedAt = now();
  }

  show(event: PullEvent): void {
    if (event.event === 'resolved') {
      this.#totalBytes = event.totalBytes;
      this.#blobs = event.blobs;
      this.#startedAt = this.#now();
      const platforms = event.platforms.map((one) => printable(one, 64)).join(', ');
      this.#line(`Pulling ${this.#image}${platforms === '' ? '' : ` for ${platforms}`}`);
    } else if (event.event === 'progress') {
      if (this.#screen.isTTY === true) this.#draw(event.doneBlobs, event.doneBytes);
    } else if (this.#screen.isTTY !== true) {
      this.#line(
        `${shortDigest(event.digest)}  ${humanSize(event.sizeBytes)}  ${event.source === 'cache' ? 'was here' : 'fetched'}`,
      );
    }
  }

  /** Takes the bar away, before anything else is printed. */
  clear(): void {
    if (this.#isDrawn) this.#screen.write('\r\u001b[K');
    this.#isDrawn = false;
  }

  #line(text: string): void {
    this.clear();
    this.#screen.write(`${text}\n`);
  }

  #draw(doneBlobs: number, doneBytes: number): void {
    const share = this.#totalBytes === 0 ? 1 : Math.min(1, doneBytes / this.#totalBytes);
    const seconds = (this.#now() - this.#startedAt) / 1000;
    const rate = seconds < 0.5 ? '' : `  ${humanSize(doneBytes / seconds)}/s`;
    const text = `${String(Math.floor(share * 100)).padStart(3)} %  ${humanSize(doneBytes)} of ${humanSize(this.#totalBytes)}${rate}  ${String(doneBlobs)}/${String(this.#blobs)} blobs`;
    // Two brackets, two spaces, and the last column, which would wrap.
    const width = Math.min(40, (this.#screen.columns ?? 80) - text.length - 5);
    const filled = Math.round(share * width);
    const bar = width < 5 ? '' : `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}]  `;
    this.#screen.write(`\r${bar}${text}\u001b[K`);
    this.#isDrawn = true;
  }
}
