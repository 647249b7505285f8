/** What the base model is made from; `make-base.mjs` and `check-split.mjs` read the same numbers. */
export const BASE_SEED = 1;
export const BASE_DOCUMENTS = 170_000;
export const VOCABULARY = 768;
