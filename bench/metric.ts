/** What is measured: its unit and which way is better. The key is the name in the JSON result. */
export const METRICS = {
  throughput: {unit: 'GB/s', better: 'higher'},
  cpuPerGb: {unit: 'CPU s/GB', better: 'lower'},
  cpuPerReview: {unit: 'CPU µs/review', better: 'lower'},
  clientCpuPerReview: {unit: 'CPU µs/review of the client', better: 'lower'},
  peakMemory: {unit: 'MiB peak', better: 'lower'},
  memory: {unit: 'MiB resident', better: 'lower'},
  memoryGrowth: {unit: 'MiB growth', better: 'lower'},
  requestRate: {unit: 'requests/s', better: 'higher'},
  pushRate: {unit: 'pushes/s', better: 'higher'},
  p50: {unit: 'ms p50', better: 'lower'},
  p99: {unit: 'ms p99', better: 'lower'},
  p999: {unit: 'ms p99.9', better: 'lower'},
  slowest: {unit: 'ms slowest', better: 'lower'},
  slowestRatio: {unit: '× slowest alone', better: 'lower'},
  time: {unit: 'ms', better: 'lower'},
  firstByte: {unit: 'ms to first byte', better: 'lower'},
  lastByte: {unit: 'ms to last byte', better: 'lower'},
  upstreamShare: {unit: '× sent by upstream', better: 'lower'},
  threads: {unit: 'threads', better: 'lower'},
  threadGrowth: {unit: 'threads more', better: 'lower'},
  descriptorGrowth: {unit: 'descriptors more', better: 'lower'},
  errors: {unit: 'errors', better: 'lower'},
  cacheShare: {unit: '× of the cache limit', better: 'lower'},
  foreignCpu: {unit: 'share of CPU taken by others', better: 'lower'},
} as const satisfies Record<string, {readonly unit: string; readonly better: 'higher' | 'lower'}>;

export type Metric = keyof typeof METRICS;
