/** Reads an entry `tokenizer.ggml.<key>` of a file's metadata; its type is for the reader to check. */
export type TokenizerField = <T>(key: string) => T | undefined;
