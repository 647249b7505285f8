/** What a text must look like. */
export type GrammarSpec =
  /** Any JSON value. */
  | { readonly kind: 'json' }
  /** JSON that a schema describes; properties that it does not name are allowed only when it says so. */
  | { readonly kind: 'json-schema'; readonly schema: unknown }
  | { readonly kind: 'regex'; readonly pattern: string }
  /** A grammar in the EBNF of the W3C's XML recommendation (GBNF as llama.cpp writes it is close to it), rule "root". */
  | { readonly kind: 'grammar'; readonly ebnf: string }
  /** Free text with parts that a format describes, in XGrammar's structural tags: tool calls between markers. */
  | { readonly kind: 'structural-tag'; readonly format: unknown };
