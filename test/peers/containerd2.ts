import type {GoPrograms} from './go-program.ts';

/** containerd 2 as a node has it: what the kubelet asks of it is a third of the program. */
export const CONTAINERD_2_CRI: GoPrograms = {
  module: 'github.com/containerd/containerd/v2',
  version: 'v2.2.0',
  packages: ['cmd/containerd', 'cmd/ctr'],
  tags: ['no_aufs', 'no_btrfs', 'no_devmapper', 'no_tracing', 'no_zfs'],
  variant: '-cri',
};

/** containerd 2 without what is not needed for pulling. */
export const CONTAINERD_2: GoPrograms = {
  module: 'github.com/containerd/containerd/v2',
  version: 'v2.2.0',
  packages: ['cmd/containerd', 'cmd/ctr'],
  tags: ['no_aufs', 'no_btrfs', 'no_cri', 'no_devmapper', 'no_tracing', 'no_zfs'],
};
