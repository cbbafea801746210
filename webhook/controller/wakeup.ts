/** Lets one loop sleep until somebody has something for it, or for so long. What comes while it works is not lost. */
export class Wakeup {
  #isAwake = false;
  #wake: (() => void) | undefined;

  wake(): void {
    this.#isAwake = true;
    this.#wake?.();
  }

  /** Never rejects: the loop looks at its signal. */
  async within(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#isAwake && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        const done = (): void => {
          clearTimeout(timer);
          resolve();
        };
        this.#wake = done;
        signal.addEventListener('abort', done, {once: true});
      });
      this.#wake = undefined;
    }
    this.#isAwake = false;
  }
}
