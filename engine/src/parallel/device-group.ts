import { allGather, allReduce, type GroupPlace } from '../device/commands/collective.js';
import type { Device } from '../device/device.js';
import { deviceErrors } from '../device/errors.js';
import type { Shard } from '../models/shard.js';
import { unscoped } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';

let groups = 0;

/** A device's end of a group: sums and gathers what every device of it brings, in the order in which they are recorded. */
export class GroupMember implements Shard {
  constructor(
    readonly device: Device,
    private readonly place: GroupPlace,
  ) {}

  get rank(): number {
    return this.place.rank;
  }

  get ways(): number {
    return this.place.ways;
  }

  /** Replaces x, contiguous floats, by the sum of every device's x. */
  sum(x: Tensor): void {
    if (this.ways > 1) allReduce(this.device.recorder, this.place, x);
  }

  /** Every device's x [rows, columns] side by side: [rows, ways, columns], a view. */
  gatherColumns(x: Tensor): Tensor {
    const { device, ways } = this;
    const [rows, columns] = x.shape as [number, number];
    if (ways === 1) return x.reshape(rows, 1, columns);
    const byRank = Tensor.empty(device, [ways, rows, columns], x.dtype);
    allGather(device.recorder, this.place, x, byRank);
    // [rank, row, column] as [row, rank, column].
    return byRank.view([rows, ways, columns], [columns, rows * columns, 1]);
  }
}

/**
 * Devices of one backend that work on one model, each in a group with the others. Resolves when they have found each other.
 * Throws LF_ENGINE_DEVICE_GROUP with what is missing (NCCL, for GPUs) or what failed.
 */
export async function groupDevices(devices: readonly Device[]): Promise<GroupMember[]> {
  const group = ++groups;
  const ways = devices.length;
  const members = devices.map((device, rank) => new GroupMember(device, { group, rank, ways }));
  if (ways === 1) return members;
  const probes = unscoped(() => devices.map((device) => Tensor.zeros(device, [1], 'f32')));
  const fail = (reason: string, cause?: unknown): never => {
    throw deviceErrors.DEVICE_GROUP({ kind: devices[0]!.properties.kind, ways, reason }, { cause });
  };
  try {
    const reason = devices[0]!.unsupported((r) => allReduce(r, { group, rank: 0, ways }, probes[0]!));
    if (reason !== undefined) fail(reason);
    for (const [rank, member] of members.entries()) member.sum(probes[rank]!);
    for (const device of devices) device.submit();
    const ended = await Promise.allSettled(devices.map((device) => device.flush()));
    const failed = ended.find((one) => one.status === 'rejected');
    if (failed) fail((failed.reason as Error).message, failed.reason);
  } finally {
    for (const probe of probes) probe.dispose();
  }
  return members;
}
