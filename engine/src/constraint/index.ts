export type { GrammarSpec } from './grammar-spec.js';
export { Grammars } from './grammars.js';
export type { GrammarVocabulary } from './vocabulary.js';
