// Verifies a Sigstore bundle with @sigstore/verify and a bare public key: bundle.json key.pem
// Exits 0 if it holds. The bundle has neither log entry nor timestamp, so none may be required.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createPublicKey } from 'node:crypto';

const require = createRequire(process.argv[2] + '/');
const { bundleFromJSON } = require('@sigstore/bundle');
const { Verifier, toSignedEntity } = require('@sigstore/verify');

const bundle = bundleFromJSON(JSON.parse(readFileSync(process.argv[3], 'utf8')));
const key = createPublicKey(readFileSync(process.argv[4]));
const trust = {
  certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [],
  publicKey: () => ({ publicKey: key, validFor: () => true }),
};
const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 });
try {
  verifier.verify(toSignedEntity(bundle));
} catch (error) {
  console.error(error.code ?? error.name);
  process.exit(3);
}
