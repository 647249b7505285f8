import { type CommandContext, type CommandDefinition, numberBetween } from '@largeforge/core';

/** Bounds are the schema's business; the flag only has to be a number. */
const number = numberBetween(-Number.MAX_VALUE, Number.MAX_VALUE);

/** What tells one trainer's command from another's. */
export interface TrainCommand {
  /** Of the trainer in the registry: `sft` makes `largeforge train sft`. */
  readonly trainer: string;
  readonly summary: string;
  readonly examples: readonly string[];
  /** Names of the formats that its rows may have. */
  readonly formats: string;
  /** Another name of the flag that says which model is trained, where the field has one; either must be given. */
  readonly modelAlias?: string;
  /** Flags of the method itself; each is the step's option of that name in kebab case. */
  readonly flags?: CommandDefinition<CommandContext>['options'];
}

/** `largeforge train <trainer>`: a training step without a config file. Flags are the step's options in kebab case. */
export function trainCommand(command: TrainCommand): CommandDefinition<CommandContext> {
  const { trainer, summary, examples, formats, modelAlias, flags: own = [] } = command;
  return {
    name: `train ${trainer}`,
    summary,
    examples,
    options: [...own, ...modelFlags(modelAlias), ...sharedFlags(formats)],
    async run({ options }, { runSteps }) {
      const { resume, force, ...given } = options;
      const flags = modelAlias === undefined ? given : withModel(given, modelAlias);
      await runSteps([{ name: trainer, stage: 'train', use: trainer, with: stepOptions(flags) }], {
        resume: resume === true,
        ...(force === true ? { force } : {}),
      });
    },
  };
}

/** The flags with the model under its usual name. */
function withModel(flags: Readonly<Record<string, unknown>>, alias: string): Readonly<Record<string, unknown>> {
  const { [alias]: model, ...rest } = flags;
  return model === undefined ? rest : { ...rest, model };
}

function modelFlags(alias: string | undefined): NonNullable<CommandDefinition<CommandContext>['options']> {
  const description = 'folder, .gguf file or cached name';
  if (alias === undefined) return [{ flags: '--model <model>', description, required: true }];
  return [
    { flags: `--${alias} <model>`, description },
    { flags: '--model <model>', description: `the same as --${alias}` },
  ];
}

/** Flags that every trainer has. */
function sharedFlags(formats: string): NonNullable<CommandDefinition<CommandContext>['options']> {
  return [
    {
      flags: '--dataset <paths...>',
      description: 'JSON, JSON Lines or text files, or folders of them',
      required: true,
    },
    { flags: '--output-dir <folder>', description: 'where the adapter (or the model) goes', required: true },
    { flags: '--format <name>', description: `of the rows: ${formats}` },
    { flags: '--chat-template <file>', description: "Jinja file, or chatml, instead of the model's template" },
    { flags: '--eval-dataset <paths...>', description: 'held-out rows' },
    { flags: '--eval-split <number>', description: 'rows to hold out: a share below 1, else a count', parse: number },
    { flags: '--full', description: 'train every weight instead of a LoRA adapter' },
    { flags: '--adapter <folder>', description: 'adapter to go on training' },
    { flags: '--lora-r <rank>', description: 'rank of the adapter', parse: number },
    { flags: '--lora-alpha <number>', description: 'scale of the adapter', parse: number },
    { flags: '--lora-dropout <share>', description: "of the adapter's input", parse: number },
    { flags: '--lora-dora', description: 'train the lengths of rows apart from their directions (DoRA)' },
    { flags: '--lora-rslora', description: 'scale by 1 / sqrt(r)' },
    {
      flags: '--lora-plus-ratio <number>',
      description: 'learning rate of B as a multiple of that of A',
      parse: number,
    },
    { flags: '--lora-target-modules <modules...>', description: 'all-linear, names, or a pattern' },
    { flags: '--epochs <number>', description: 'passes over the data', parse: number },
    { flags: '--max-steps <count>', description: 'optimiser steps, instead of epochs', parse: number },
    { flags: '--batch-size <rows>', description: 'rows of a micro-batch', parse: number },
    { flags: '--gradient-accumulation <count>', description: 'micro-batches of an optimiser step', parse: number },
    { flags: '--learning-rate <rate>', description: 'peak learning rate', parse: number },
    {
      flags: '--optimizer <name>',
      description: 'what moves the weights',
      choices: ['adamw', 'adamw_8bit', 'lion', 'adafactor', 'muon'],
    },
    {
      flags: '--scheduler <name>',
      description: 'its shape',
      choices: ['constant', 'linear', 'cosine', 'cosine-restarts', 'polynomial', 'wsd'],
    },
    { flags: '--warmup-ratio <share>', description: 'of the steps', parse: number },
    { flags: '--max-length <tokens>', description: 'of a row at most', parse: number },
    {
      flags: '--overlong <policy>',
      description: 'rows that are longer',
      choices: ['error', 'truncate', 'drop', 'split'],
    },
    { flags: '--packing', description: 'lay several rows into each of max-length tokens' },
    { flags: '--precision <type>', description: 'of the arithmetic', choices: ['bf16', 'f16', 'f32'] },
    {
      flags: '--frozen-weights <kind>',
      description: 'what the layers beside an adapter are kept in',
      choices: ['float', 'as-stored', 'nf4'],
    },
    {
      flags: '--gradient-checkpointing [policy]',
      description: 'less memory, more time: all, every:N, first:N, or auto',
    },
    { flags: '--average-decay <share>', description: 'save a moving average of the weights', parse: number },
    { flags: '--deterministic', description: 'refuse a backend that does not promise the same bits for the same seed' },
    { flags: '--neftune-alpha <number>', description: 'noise on embeddings', parse: number },
    { flags: '--save-steps <count>', description: 'a checkpoint every so many steps', parse: number },
    { flags: '--eval-steps <count>', description: 'look at the held-out rows every so many steps', parse: number },
    { flags: '--eval-on-start', description: 'look at the held-out rows before the first step too' },
    { flags: '--seed <number>', description: 'of everything that is random', parse: number },
    { flags: '--resume', description: 'go on from the last checkpoint in the output folder' },
    { flags: '--force', description: 'begin again, whatever an unfinished run left in the output folder' },
    { flags: '--dry-run', description: 'print the data report, the memory estimate and the plan' },
  ];
}

/** The step's options of the flags that were given. */
export function stepOptions(flags: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const {
    dataset,
    evalDataset,
    format,
    chatTemplate,
    overlong,
    loraR,
    loraAlpha,
    loraDropout,
    loraTargetModules,
    loraDora,
    loraRslora,
    ...rest
  } = flags;
  const lora = given({
    r: loraR,
    alpha: loraAlpha,
    dropout: loraDropout,
    dora: loraDora,
    rslora: loraRslora,
    targetModules:
      Array.isArray(loraTargetModules) && loraTargetModules.length === 1 ? loraTargetModules[0] : loraTargetModules,
  });
  const reading = given({ format, chatTemplate, overlong });
  return {
    ...rest,
    dataset: { paths: dataset, ...reading },
    ...(evalDataset === undefined ? {} : { evalDataset: { paths: evalDataset, ...reading } }),
    ...(Object.keys(lora).length > 0 ? { lora } : {}),
  };
}

function given(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
