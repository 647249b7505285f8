import {
  commands,
  type Device,
  type QuantizedWeight,
  type QuantizeGrid,
  type ScaleDType,
  scope,
  Tensor,
} from '@largeforge/engine';

/** The values that codes of a group can mean, and how they are chosen. */
export interface GridOptions {
  readonly bits: number;
  readonly groupSize: number;
  readonly symmetric: boolean;
  /** What scales are stored as: the grid is that of the rounded scale. */
  readonly scaleDType: ScaleDType;
  /** Tries shrunken ranges for the least error; else a grid spans the whole range of its group. */
  readonly search: boolean;
}

/** Codes of a weight [N, K] on the device, with scales and zeros f32 [N, K / groupSize]. */
export interface DeviceCodes extends Disposable {
  /** u8 [N, K] */
  readonly codes: Tensor;
  readonly scales: Tensor;
  readonly zeros: Tensor;
}

/** How kernels look for a grid. */
export function searchOf({ bits, groupSize, symmetric, scaleDType, search }: GridOptions): QuantizeGrid {
  return { bits, groupSize, symmetric, scaleDType, shares: search ? 25 : 1, refits: search ? 2 : 0 };
}

/** Memory for the codes of a weight [n, k]; they are the caller's to dispose. */
export function emptyCodes(device: Device, n: number, k: number, groups: number): DeviceCodes {
  const codes = Tensor.empty(device, [n, k], 'u8', 'persistent');
  const scales = Tensor.empty(device, [n, groups], 'f32', 'persistent');
  const zeros = Tensor.empty(device, [n, groups], 'f32', 'persistent');
  return {
    codes,
    scales,
    zeros,
    [Symbol.dispose]() {
      for (const tensor of [codes, scales, zeros]) tensor.dispose();
    },
  };
}

/** Copies codes to the host. */
export async function weightOf(
  { codes, scales, zeros }: DeviceCodes,
  bits: number,
  groupIndex?: Int32Array,
): Promise<QuantizedWeight> {
  const [outFeatures, inFeatures] = codes.shape as [number, number];
  const [own, ownScales, ownZeros] = await Promise.all([codes.toArray(), scales.floats(), zeros.floats()]);
  return {
    outFeatures,
    inFeatures,
    bits,
    groups: scales.shape[1]!,
    codes: own as Uint8Array,
    scales: ownScales,
    zeros: Uint16Array.from(ownZeros),
    ...(groupIndex && { groupIndex }),
  };
}

/**
 * A weight f32 [N, K] rounded to the nearest codes, group by group.
 * @param importance f32 [K]: what the squared error of a column counts; all the same unless given
 */
export async function roundToNearest(
  weight: Tensor,
  options: GridOptions,
  importance?: Tensor,
): Promise<QuantizedWeight> {
  const [n, k] = weight.shape as [number, number];
  using out = emptyCodes(weight.device, n, k, k / options.groupSize);
  scope(() =>
    commands.quantizeGroups(weight.device.recorder, searchOf(options), {
      w: weight,
      ...(importance && { importance }),
      ...{ codes: out.codes, scales: out.scales, zeros: out.zeros },
    }),
  );
  return await weightOf(out, options.bits);
}
