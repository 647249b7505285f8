import { readFile } from 'node:fs/promises';
import { Tokenizer } from '@largeforge/engine';
import { dataErrors } from '../errors.js';

/** ChatML with marks for what the assistant says, for models that know its tokens but have no template of their own. */
const chatml = [
  '{% for message in messages %}',
  "{{ '<|im_start|>' + message.role + '\\n' }}",
  "{% if message.role == 'assistant' %}{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}",
  "{% else %}{{ message.content + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}",
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
].join('');

/**
 * The tokenizer with another chat template: `chatml`, or a Jinja file.
 * @throws LF_DATA_FILE_MISSING when there is no such file
 */
export async function withTemplate(tokenizer: Tokenizer, template: string | undefined): Promise<Tokenizer> {
  if (template === undefined) return tokenizer;
  const chatTemplate =
    template === 'chatml'
      ? chatml
      : await readFile(template, 'utf8').catch((cause: unknown) => {
          throw dataErrors.LF_DATA_FILE_MISSING({ path: template }, { cause });
        });
  return Tokenizer.from({ ...tokenizer.source, chatTemplate }, tokenizer.path, tokenizer.eosTokenIds);
}
