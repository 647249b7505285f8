import multipart from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { pageOf, pageQuery } from '../http/page.js';
import { described, refusals } from '../http/refusal.js';
import type { JobQueue } from '../jobs/job-queue.js';
import type { FileStore, StoredFile } from './file-store.js';

const idParams = z.object({ id: z.string() });
const listQuery = pageQuery(10_000, 10_000).extend({
  purpose: z.string().optional(),
  order: z.enum(['asc', 'desc']).default('desc'),
});

/** `/v1/files`, as OpenAI has them; for administrators. */
export async function fileRoutes(
  app: FastifyInstance,
  files: FileStore,
  jobs: JobQueue,
  maxBytes: number,
): Promise<void> {
  await app.register(multipart, { limits: { fileSize: maxBytes, files: 1, fields: 16, fieldSize: 4096 } });
  const about = (summary: string, schema = {}) => described('files', summary, schema);
  app.post('/v1/files', about('Upload a file (multipart: purpose, file)'), (request) =>
    upload(request, files, maxBytes),
  );
  app.get('/v1/files', about('The files, the newest first', { querystring: listQuery }), async (request) => {
    const { purpose, order, ...page } = request.query as z.output<typeof listQuery>;
    const found = files.list().filter((file) => purpose === undefined || file.purpose === purpose);
    return pageOf(order === 'asc' ? found.toReversed() : found, page);
  });
  app.get('/v1/files/:id', about('One file', { params: idParams }), async (request) => {
    return files.get((request.params as z.output<typeof idParams>).id);
  });
  app.get('/v1/files/:id/content', about('What is in a file', { params: idParams }), async (request, reply) => {
    const file = files.get((request.params as z.output<typeof idParams>).id);
    const name = encodeURIComponent(file.filename);
    return reply
      .header('content-length', file.bytes)
      .header('content-disposition', `attachment; filename*=UTF-8''${name}`)
      .type('application/octet-stream')
      .serializer((payload: unknown) => payload as string)
      .send(files.read(file.id));
  });
  app.delete('/v1/files/:id', about('Delete a file', { params: idParams }), async (request) => {
    const { id } = files.get((request.params as z.output<typeof idParams>).id);
    const reader = jobs.readerOf(id);
    if (reader !== undefined) throw refusals.fileInUse(id, reader);
    files.delete(id);
    return { id, object: 'file', deleted: true };
  });
}

/** The client sends `purpose` before or behind the file: the file is on disk before its description is written. */
async function upload(request: FastifyRequest, files: FileStore, maxBytes: number): Promise<StoredFile> {
  if (!request.isMultipart())
    throw refusals.badUpload('Send the file as multipart/form-data, with the fields purpose and file.');
  let purpose: string | undefined;
  let taken: StoredFile | undefined;
  for await (const part of request.parts()) {
    if (part.type === 'field') {
      if (part.fieldname === 'purpose') purpose = String(part.value);
      continue;
    }
    if (part.fieldname !== 'file')
      throw refusals.badUpload(`A file is expected in the field "file", not in ${JSON.stringify(part.fieldname)}.`);
    taken = await files.add(part.file, { filename: part.filename, purpose: purpose ?? '' });
    if (part.file.truncated) {
      files.delete(taken.id);
      throw refusals.uploadTooLarge(maxBytes);
    }
  }
  if (taken && purpose) return taken.purpose === purpose ? taken : files.describe(taken.id, purpose);
  if (taken) files.delete(taken.id);
  if (!purpose)
    throw refusals.badUpload('The field "purpose" is missing; "fine-tune" is meant for training data.', 'purpose');
  throw refusals.badUpload('The field "file" is missing.', 'file');
}
