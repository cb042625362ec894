// MQTT.js in a page, for tests: one client for each name.
const clients = {}

const promised = work => new Promise((resolve, reject) => work((err, value) => (err ? reject(err) : resolve(value))))

// connect resolves to the CONNACK. What comes later is in inbox, in order.
function connect (name, url, options) {
  const client = mqtt.connect(url, { clientId: name, reconnectPeriod: 0, ...options })
  const inbox = []
  clients[name] = { client, inbox }
  client.on('message', (topic, payload, packet) => {
    inbox.push({ topic, text: new TextDecoder().decode(payload), qos: packet.qos, retain: packet.retain })
  })
  return new Promise((resolve, reject) => {
    client.once('connect', ack => resolve({ sessionPresent: ack.sessionPresent, code: ack.reasonCode ?? ack.returnCode }))
    client.once('error', reject)
    client.once('close', () => reject(new Error('closed before it was connected')))
  })
}

// subscribe resolves to the code of the SUBACK, publish when it is acknowledged.
const subscribe = (name, topic, qos) => promised(done => clients[name].client.subscribe(topic, { qos }, (err, granted) => done(err, err ? null : granted[0].qos)))
const publish = (name, topic, text, options) => promised(done => clients[name].client.publish(topic, text, options, err => done(err, true)))
const end = name => promised(done => clients[name].client.end(false, {}, () => done(null, true)))

// refused resolves to true when a plain WebSocket cannot be opened.
const refused = url => new Promise(resolve => {
  const socket = new WebSocket(url, 'mqtt')
  socket.onopen = () => { socket.close(); resolve(false) }
  socket.onerror = () => resolve(true)
})
