// Verifies an identity-based Sigstore bundle with @sigstore/verify at its own thresholds:
// node_modules' folder, bundle.json, trust-config.json, identity, issuer. Exits 0 if it holds, 3 if not.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(process.argv[2] + '/');
const { bundleFromJSON } = require('@sigstore/bundle');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');

const [bundle, config] = process.argv.slice(3, 5).map((path) => JSON.parse(readFileSync(path, 'utf8')));
const [identity, issuer] = process.argv.slice(5, 7);
const verifier = new Verifier(toTrustMaterial(TrustedRoot.fromJSON(config.trustedRoot)));
try {
  verifier.verify(toSignedEntity(bundleFromJSON(bundle)), { subjectAlternativeName: identity, extensions: { issuer } });
} catch (error) {
  console.error(error.code ?? error.name);
  process.exit(3);
}
