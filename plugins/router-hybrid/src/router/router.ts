import { complexityOf } from '../analysis/complexity.js';
import { languageOf } from '../analysis/language.js';
import type { SentenceEncoder } from '../encoders/sentence-encoder.js';
import { normalize, wordsOf } from '../text/words.js';
import { type Choice, type ChoiceSettings, chooseExpert, defaultChoice } from './choice.js';
import type { Expert, ExpertLoad } from './expert.js';
import { ExpertPanel, type ReadQuery } from './expert-panel.js';
import type { StrategyName, TrainedRouter } from './trained-router.js';

export interface RouterSettings extends ChoiceSettings {
  readonly strategy: StrategyName;
  /** Confidence below which a query is out of scope; the trained router's own when absent. */
  readonly threshold?: number;
  /** Characters of a query that are read. */
  readonly maxCharacters: number;
}

export const defaultRouterSettings: RouterSettings = { strategy: 'hybrid', maxCharacters: 4096, ...defaultChoice };

/** Until validation says otherwise. */
const untrainedThresholds: Readonly<Record<StrategyName, number>> = {
  keyword: 0.3,
  neural: 0.3,
  'zero-shot': 0.15,
  hybrid: 0.15,
};

export interface DecideOptions {
  /** Experts that may be chosen; give the same array again as long as they stay the same. */
  readonly experts: readonly Expert[];
  /** The expert that the caller would like. */
  readonly prefer?: string;
  /** The expert that had this conversation so far. */
  readonly sticky?: string;
  /** Experts that are not to be chosen now; their scores count as if they were not there. */
  readonly exclude?: ReadonlySet<string>;
  /** How busy an expert is when it is chosen; undefined is idle. */
  readonly load?: (expert: string) => ExpertLoad | undefined;
  /** What is added to an expert's threshold. */
  readonly offset?: (expert: string) => number;
}

/** What a query looks like. */
export interface QueryAnalysis {
  /** The chosen expert's subject, or the most likely one's; null when nothing is likely. */
  readonly domain: string | null;
  /** The most likely class: a trained router's label, or an expert. */
  readonly intent: string | null;
  /** 0 to 1, from the surface of the text. */
  readonly complexity: number;
  /** ISO 639-1, or `und`. */
  readonly language: string;
}

export interface Decision {
  /** null: no expert is confident enough. */
  readonly expert: string | null;
  /** The expert that would have been chosen if it were not excluded; only when no other one was. */
  readonly unavailable?: string;
  /** Of the chosen expert; of the best one when none was chosen. */
  readonly confidence: number;
  /** Every expert, the most likely first. */
  readonly scores: readonly { readonly expert: string; readonly confidence: number }[];
  readonly strategy: StrategyName;
  readonly reason: Choice['reason'];
  readonly analysis: QueryAnalysis;
}

/** What the analysis has from a query's words alone. */
type Surface = Pick<QueryAnalysis, 'complexity' | 'language'>;

function surfaceOf(text: string): Surface {
  const normalized = normalize(text);
  const words = wordsOf(normalized);
  return { complexity: complexityOf(normalized, words), language: languageOf(words) };
}

/** Decides which expert answers a query. */
export class Router {
  private panels = new WeakMap<readonly Expert[], Promise<ExpertPanel>>();
  readonly settings: RouterSettings;

  /**
   * @param trained what training made; without it keywords and likeness to the experts' texts decide
   * @param encoder the sentence encoder that it was trained with
   */
  constructor(
    readonly trained?: TrainedRouter,
    private readonly encoder?: SentenceEncoder,
    settings: Partial<RouterSettings> = {},
  ) {
    this.settings = { ...defaultRouterSettings, ...settings };
  }

  async decide(text: string, options: DecideOptions): Promise<Decision> {
    const [decision] = await this.decideAll([text], options);
    return decision!;
  }

  /** Decides many queries at once: the encoder runs them as one batch. */
  async decideAll(texts: readonly string[], options: DecideOptions): Promise<Decision[]> {
    const panel = await this.panelOf(options.experts);
    const cut = texts.map((text) => text.slice(0, this.settings.maxCharacters));
    const encoding = panel.readsEmbeddings ? this.encoder?.encode(cut) : undefined;
    // A failure is told below, after the reading, and is not "unhandled" until then.
    encoding?.catch(() => undefined);
    const read = cut.map((text) => ({ query: panel.read(text), surface: surfaceOf(text) }));
    const embeddings = await encoding;
    return read.map(({ query, surface }, i) =>
      this.decideRead({ ...query, ...(embeddings && { embedding: embeddings[i]! }) }, surface, panel, options),
    );
  }

  /** Confidence from which an expert without a threshold of its own is chosen. */
  get threshold(): number {
    const { strategy, threshold } = this.settings;
    return threshold ?? this.trained?.thresholds[strategy] ?? untrainedThresholds[strategy];
  }

  /** The threshold of an expert: its own, or the router's. */
  thresholdOf({ threshold = this.threshold }: { readonly threshold?: number | undefined } = {}): number {
    return threshold;
  }

  /** A router of the same parts with other settings. */
  with(settings: Partial<RouterSettings>): Router {
    return new Router(this.trained, this.encoder, { ...this.settings, ...settings });
  }

  /** Prepares for a set of experts, so that their first query does not wait for it. */
  async prepare(experts: readonly Expert[]): Promise<void> {
    await this.panelOf(experts);
  }

  private decideRead(query: ReadQuery, surface: Surface, panel: ExpertPanel, options: DecideOptions): Decision {
    const { strategy } = this.settings;
    const opinion = panel.score(query);
    const scores = opinion.scores.filter((score) => !options.exclude?.has(score.expert));
    const criteria = {
      ...options,
      ...(opinion.certain !== undefined && { certain: opinion.certain }),
      threshold: (name: string) => {
        const own = this.thresholdOf(panel.expert(name));
        return Math.min(1, Math.max(0, own + (options.offset?.(name) ?? 0)));
      },
    };
    const { reason, expert, confidence } = chooseExpert(scores, criteria, this.settings);
    const unavailable =
      expert === null && scores.length < opinion.scores.length
        ? chooseExpert(opinion.scores, criteria, this.settings).expert
        : null;
    const likely = expert ?? scores[0]?.expert;
    const domains = likely === undefined ? undefined : panel.expert(likely)?.domains;
    return {
      expert,
      ...(unavailable !== null && { unavailable }),
      confidence,
      scores,
      strategy,
      reason,
      analysis: {
        domain: domains?.find((domain) => domain === opinion.intent) ?? domains?.[0] ?? likely ?? null,
        intent: opinion.intent ?? null,
        ...surface,
      },
    };
  }

  private panelOf(experts: readonly Expert[]): Promise<ExpertPanel> {
    let panel = this.panels.get(experts);
    if (!panel) {
      panel = ExpertPanel.of(experts, this.settings.strategy, this.trained, this.encoder);
      this.panels.set(experts, panel);
      // A failure, such as a wrong keyword rule, is told to every caller, but not kept.
      panel.catch(() => this.panels.delete(experts));
    }
    return panel;
  }
}
