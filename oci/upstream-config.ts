import type {UpstreamSettings} from './upstream-settings.ts';

/** How long a known tag is served although the upstream could not confirm it, in ms; 0 is never. */
export interface StaleIfError {
  readonly down: number;
  readonly timeout: number;
  readonly tooManyRequests: number;
  readonly serverError: number;
  readonly notFound: number;
}

/** An entry of `upstreams` in a configuration, with every value present. */
export interface UpstreamConfig extends UpstreamSettings {
  readonly freshForMs: number;
  readonly staleIfError: StaleIfError;
  readonly offline: boolean;
  readonly cache: 'always' | 'never';
}
