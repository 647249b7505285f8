import { trainCommand } from '@largeforge/trainer';

/** `largeforge train sft`. */
export const trainSft = trainCommand({
  trainer: 'sft',
  summary: 'fine-tune a model on examples: a LoRA adapter, or every weight',
  examples: [
    'largeforge train sft --model ./base --dataset rows.jsonl --output-dir ./adapter --lora-r 16 --epochs 3',
    'largeforge train sft --model org/name --dataset rows.json --output-dir ./model --full --eval-split 0.05',
  ],
  formats: 'messages, sharegpt, alpaca, prompt-completion, text',
});
