/**
 * How many warps of a kernel a multiprocessor holds at once, of those that it can: NVIDIA's occupancy calculator and AMD's
 * "Register pressure in AMD CDNA2 GPUs", for what limits it here: registers, shared memory and the number of warps.
 */
const PROCESSORS = {
  sm_75: { warp: 32, warps: 32, registers: 65536, shared: 65536, reserved: 0 },
  sm_80: { warp: 32, warps: 64, registers: 65536, shared: 167936, reserved: 1024 },
  sm_90a: { warp: 32, warps: 64, registers: 65536, shared: 233472, reserved: 1024 },
  // Four SIMDs of 512 vector registers for each lane, 8 waves each.
  gfx90a: { warp: 64, warps: 32, lanes: 512, simds: 4, shared: 65536, reserved: 0 },
  // Two SIMDs of 1024 registers in waves of 32, 16 waves each.
  gfx1030: { warp: 32, warps: 32, lanes: 1024, simds: 2, shared: 65536, reserved: 0 },
};

/** @returns warps held, and the share of those that are possible */
export function occupancy(target, { registers, warps, threads, shared }) {
  const p = PROCESSORS[target];
  const warpsOfBlock = warps || threads / p.warp;
  const perWarp = p.registers ? Math.ceil((registers * p.warp) / 256) * 256 : Math.ceil(registers / 8) * 8;
  const byRegisters = p.registers
    ? Math.floor(Math.floor(p.registers / perWarp) / warpsOfBlock)
    : Math.floor((Math.floor(p.lanes / perWarp) * p.simds) / warpsOfBlock);
  const byShared = Math.floor(p.shared / (shared + p.reserved));
  const byWarps = Math.floor(p.warps / warpsOfBlock);
  const held = Math.min(byRegisters, byShared, byWarps) * warpsOfBlock;
  return { held, share: held / p.warps };
}
