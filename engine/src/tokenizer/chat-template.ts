import { Template } from '@huggingface/jinja';

export interface ChatMessage {
  readonly role: string;
  readonly content: string | null | readonly unknown[];
  readonly [key: string]: unknown;
}

export interface ChatTemplateOptions {
  /** Ends with the start of an assistant turn. */
  readonly addGenerationPrompt?: boolean;
  readonly tools?: readonly unknown[];
  /** More variables of the template. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

const GENERATION_START = '\uE000';
const GENERATION_END = '\uE001';

/** A chat template (Jinja, as transformers renders it) with the tokenizer's special tokens at hand. */
export class ChatTemplate {
  /** Whether the template itself marks what the assistant says. */
  readonly marksGeneration: boolean;
  private readonly plain: Template;
  private readonly marked: Template | undefined;

  constructor(
    readonly source: string,
    private readonly specialTokens: Readonly<Record<string, string>>,
  ) {
    this.marksGeneration = /\{%-?\s*generation\s*-?%\}/.test(source);
    this.plain = new Template(replaceGeneration(source, '', ''));
    this.marked = this.marksGeneration
      ? new Template(replaceGeneration(source, `{{ '${GENERATION_START}' }}`, `{{ '${GENERATION_END}' }}`))
      : undefined;
  }

  /** Renders a conversation. Throws what the template raises. */
  render(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    return this.renderWith(this.plain, messages, options);
  }

  /** The rendered text, and start and end (UTF-16 units) of each span that the template marks as the assistant's. */
  renderMarked(
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions = {},
  ): { text: string; spans: [number, number][] } {
    const parts = this.renderWith(this.marked!, messages, options).split(/([\uE000\uE001])/);
    let text = '';
    const spans: [number, number][] = [];
    for (const part of parts) {
      if (part === GENERATION_START) spans.push([text.length, text.length]);
      else if (part === GENERATION_END) spans.at(-1)![1] = text.length;
      else text += part;
    }
    return { text, spans };
  }

  private renderWith(template: Template, messages: readonly ChatMessage[], options: ChatTemplateOptions): string {
    return template.render({
      messages,
      tools: options.tools ?? null,
      add_generation_prompt: options.addGenerationPrompt ?? false,
      ...this.specialTokens,
      ...options.variables,
    });
  }
}

/** `{% generation %}` is transformers' own tag: Jinja does not know it. Its whitespace control is kept. */
function replaceGeneration(source: string, start: string, end: string): string {
  const tag = (name: string, text: string) => (template: string) =>
    template.replace(new RegExp(`\\{%(-?)\\s*${name}\\s*(-?)%\\}`, 'g'), (_, left: string, right: string) =>
      text === '' ? `{%${left} if true ${right}%}{% endif %}` : `{%${left} if true ${right}%}${text}{% endif %}`,
    );
  return tag('endgeneration', end)(tag('generation', start)(source));
}
