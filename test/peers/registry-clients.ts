import type {GoPrograms} from './go-program.ts';

/** Clients that push, at the versions that issue 7 names. */
export const CRANE: GoPrograms = {
  module: 'github.com/google/go-containerregistry',
  version: 'v0.22.1',
  packages: ['cmd/crane'],
};
export const ORAS: GoPrograms = {module: 'oras.land/oras', version: 'v1.3.6', packages: ['cmd/oras']};
export const COSIGN: GoPrograms = {
  module: 'github.com/sigstore/cosign/v3',
  version: 'v3.1.3',
  packages: ['cmd/cosign'],
};
/** The official suite: a program named `conformance`. */
export const CONFORMANCE: GoPrograms = {
  module: 'github.com/opencontainers/distribution-spec/conformance',
  version: 'v0.0.0-20260831232431-97274622c111',
  packages: ['.'],
};
