// Node's HTTPS server with the least that an authenticated API does: it checks
// a token (HMAC-SHA-256, expiry) and answers an object as JSON.
// Arguments: port, certificate, key. It prints a token that it accepts.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'

const [port, certificate, key] = process.argv.slice(2)
const secret = randomBytes(32)
const cluster = {
  uid: '0123456789ab',
  name: 'plant-0001',
  phase: 'healthy',
  project: { uid: 'ba9876543210', name: 'Factories' },
}

const digest = (text) => createHmac('sha256', secret).update(text).digest()
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

function token() {
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: 'u', tid: 't', exp: Date.now() / 1000 + 3600 })}`
  return `${text}.${digest(text).toString('base64url')}`
}

function claims(header) {
  const [head, body, signature] = (header ?? '').replace(/^Bearer /, '').split('.')
  if (signature === undefined) return null
  const right = digest(`${head}.${body}`)
  const given = Buffer.from(signature, 'base64url')
  if (given.length !== right.length || !timingSafeEqual(given, right)) return null
  const read = JSON.parse(Buffer.from(body, 'base64url').toString())
  return read.exp > Date.now() / 1000 ? read : null
}

const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
  if (claims(request.headers.authorization) === null) {
    response.writeHead(401).end()
    return
  }
  const text = JSON.stringify(cluster)
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
})
server.keepAliveTimeout = 3_600_000
server.requestTimeout = 0
server.listen(Number(port), '127.0.0.1', () => console.log(token()))
