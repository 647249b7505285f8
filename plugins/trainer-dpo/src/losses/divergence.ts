import { logSigmoid, sigmoid } from './pair-losses.js';

/**
 * What a log-ratio u = ln p(y|x) - ln p_ref(y|x) counts for under an f-divergence: f'(e^u), and its derivative by u.
 * f-DPO, Wang et al. 2023 (arXiv 2309.16240).
 */
export type Divergence = (ratio: number) => { readonly score: number; readonly slope: number };

/** Divergences by the names that TRL gives them. */
export const divergenceNames = ['reverse_kl', 'forward_kl', 'js_divergence', 'alpha_divergence'] as const;

export type DivergenceName = (typeof divergenceNames)[number];

/** e^80 is the largest power that f32 holds with room for a factor. */
const largestExponent = 80;

/** @param alpha of the alpha-divergence; 1 is the reverse KL divergence */
export function divergence(name: DivergenceName, alpha: number): Divergence {
  switch (name) {
    case 'reverse_kl':
      return reverseKl;
    case 'forward_kl':
      return (ratio) => ({ score: 1 - Math.exp(-ratio), slope: Math.exp(-ratio) });
    case 'js_divergence':
      return (ratio) => ({ score: Math.LN2 + logSigmoid(ratio), slope: sigmoid(-ratio) });
    case 'alpha_divergence': {
      const order = alpha - 1;
      if (Math.abs(order) < 1e-6) return reverseKl;
      return (ratio) => {
        const exponent = order * ratio;
        const power = Math.exp(Math.min(exponent, largestExponent));
        return { score: (power - 1) / order, slope: exponent > largestExponent ? 0 : power };
      };
    }
  }
}

const reverseKl: Divergence = (ratio) => ({ score: ratio, slope: 1 });
