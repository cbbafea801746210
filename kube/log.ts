/** What this room says, and how: the process's log fits. */
export interface KubeLog {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export const SILENT: KubeLog = {debug: () => {}, info: () => {}, warn: () => {}};
