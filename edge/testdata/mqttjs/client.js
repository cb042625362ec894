// An MQTT.js client under remote control. Its only argument is the options of
// mqtt.connect as JSON, with `url` and, for TLS, `caFile`. It reads commands
// from standard input and writes what happens to standard output, one JSON
// object a line.
'use strict'
const crypto = require('crypto')
const fs = require('fs')
const readline = require('readline')
const mqtt = require('mqtt')

const say = (event, fields) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')
const reason = (err) => (err ? { code: err.code ?? -1, text: String(err.message) } : { code: 0 })

const { url, caFile, ...options } = JSON.parse(process.argv[2])
if (caFile) options.ca = fs.readFileSync(caFile)
const client = mqtt.connect(url, { reconnectPeriod: 0, resubscribe: false, ...options })

client.on('connect', (ack) => say('connect', { sessionPresent: ack.sessionPresent }))
client.on('error', (err) => say('error', reason(err)))
client.on('close', () => say('close'))
client.on('message', (topic, payload, packet) => {
  const text = payload.length <= 256 ? payload.toString() : ''
  const sha256 = crypto.createHash('sha256').update(payload).digest('hex')
  say('message', { topic, text, length: payload.length, sha256, qos: packet.qos, retain: packet.retain })
})

const commands = {
  // The filters of one SUBSCRIBE, and the codes of its SUBACK.
  subscribe ({ topic, qos }) {
    client.subscribe(topic, { qos }, (err, granted, packet) => {
      const codes = packet && packet.granted ? packet.granted : (granted || []).map((g) => g.qos)
      say('subscribed', { ...reason(err), codes })
    })
  },
  // count messages, the text followed by a number when there are several.
  publish ({ topic, text, length, qos, retain, count = 1 }) {
    let waiting = count
    let last = { code: 0 }
    for (let i = 0; i < count; i++) {
      const payload = length ? Buffer.alloc(length, text) : count > 1 ? text + i : text
      client.publish(topic, payload, { qos, retain }, (err) => {
        if (err) last = reason(err)
        if (--waiting === 0) say('published', last)
      })
    }
  },
  end () {
    client.end(false, {}, () => say('end'))
  }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const { command, ...fields } = JSON.parse(line)
  commands[command](fields)
}).on('close', () => process.exit(0))
