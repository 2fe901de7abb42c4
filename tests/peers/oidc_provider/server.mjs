// A certified OpenID provider with people, clients and a mint for tokens of workloads.
// Usage: node server.mjs MODULES CONFIGURATION, a folder of node_modules and a JSON file.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, path] = process.argv.slice(2);
const load = (...parts) => import(pathToFileURL(join(modules, ...parts)).href);
const { default: Provider } = await load('oidc-provider', 'lib', 'index.js');
const { importJWK, SignJWT } = await load('jose', 'dist', 'node', 'esm', 'index.js');
const configuration = JSON.parse(readFileSync(path, 'utf8'));
const { issuer, port, clients, accounts, keys } = configuration;

const provider = new Provider(issuer, {
  clients,
  jwks: { keys },
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username'],
    email: ['email'],
    groups: ['groups'],
  },
  scopes: ['openid', 'profile', 'email', 'groups', 'offline_access'],
  cookies: { keys: ['a secret of tests'] },
  // Claims are where the client asked for them to be: in the ID token, or only in userinfo.
  conformIdTokenClaims: configuration.claims_only_in_userinfo ?? false,
  features: {
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    deviceFlow: { enabled: true },
    devInteractions: { enabled: true },
  },
  pkce: { required: () => true },
  ttl: { DeviceCode: () => configuration.device_seconds ?? 600 },
  findAccount: (context, id) => accounts[id] && { accountId: id, claims: () => ({ sub: id, ...accounts[id] }) },
  clientAuthMethods: configuration.client_authentication ?? ['client_secret_basic', 'client_secret_post', 'none'],
});

async function mint(context) {
  const chunks = [];
  for await (const chunk of context.req) chunks.push(chunk);
  const { claims, kid, head } = JSON.parse(Buffer.concat(chunks).toString());
  const key = keys.find((candidate) => candidate.kid === kid);
  const now = Math.floor(Date.now() / 1000);
  context.body = await new SignJWT({ iss: issuer, iat: now, exp: now + 300, ...claims })
    .setProtectedHeader({ alg: key.alg, kid, ...head })
    .sign(await importJWK(key, key.alg));
}

const requests = {};
provider.use(async (context, next) => {
  requests[context.path] = (requests[context.path] ?? 0) + 1;
  if (context.path === '/tests/mint') await mint(context);
  else if (context.path === '/tests/requests') context.body = requests;
  else await next();
});
for (const event of ['server_error', 'grant.error', 'authorization.error', 'backchannel.error']) {
  provider.on(event, (context, error) => console.log(event, error?.error_description ?? error));
}
provider.listen(port, '127.0.0.1');
