import type {GoPrograms} from './go-program.ts';

/** A containerd as a node has it: what the kubelet asks of it is a third of the program. */
function withCri(module: string, version: string): GoPrograms {
  const tags = ['no_aufs', 'no_btrfs', 'no_devmapper', 'no_tracing', 'no_zfs'];
  return {module, version, packages: ['cmd/containerd', 'cmd/ctr'], tags, variant: '-cri'};
}
const V2 = 'github.com/containerd/containerd/v2';
/** Name → how it is built. Debian has 1.6. */
export const CONTAINERDS_WITH_CRI = {
  '1.7.27': withCri('github.com/containerd/containerd', 'v1.7.27'),
  '2.0.5': withCri(V2, 'v2.0.5'),
  '2.2.0': withCri(V2, 'v2.2.0'),
} as const;

/** containerd 2 without what is not needed for pulling. */
export const CONTAINERD_2: GoPrograms = {
  module: 'github.com/containerd/containerd/v2',
  version: 'v2.2.0',
  packages: ['cmd/containerd', 'cmd/ctr'],
  tags: ['no_aufs', 'no_btrfs', 'no_cri', 'no_devmapper', 'no_tracing', 'no_zfs'],
};
