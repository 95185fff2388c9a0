# Plays a scenario with the stomp gem (Debian: ruby-stomp) and prints what it sees, a JSON object a line.

require 'json'
require 'openssl'
require 'stomp'

$stdout.sync = true
SCENARIO, HOST, PORT, LOGIN, PASSCODE, VERSION, DESTINATION, CA = ARGV
SOURCE = "#{DESTINATION}-in"

def say(seen) = puts(JSON.generate(seen))

def open_connection(passcode)
  login = { login: LOGIN, passcode: passcode, host: HOST, port: PORT.to_i }
  login[:ssl] = Stomp::SSLParams.new(ts_files: CA) unless CA.empty?
  headers = VERSION == '1.0' ? {} : { 'accept-version' => VERSION, 'host' => HOST, 'heart-beat' => '10000,10000' }
  Stomp::Connection.new(
    hosts: [login],
    reliable: SCENARIO == 'reconnect',
    initial_reconnect_delay: 0.01,
    use_exponential_back_off: false,
    connect_headers: headers,
    logger: Stomp::NullLogger.new
  )
end

if SCENARIO == 'refused'
  begin
    connection = open_connection('wrong')
    say(refused: connection.connection_frame.headers['message'])
  rescue Stomp::Error::StompServerError, Stomp::Error::BrokerException => e
    say(refused: e.message)
  end
  exit
end

$client = open_connection(PASSCODE)

def subscribe(ack) = $client.subscribe(SOURCE, { ack: ack, id: 'sub' }, 'sub')

def take = $client.receive

def ack(message, how = :ack, headers = {})
  headers = headers.merge(subscription: message.headers['subscription']) if VERSION == '1.1'
  $client.send(how, message.headers[VERSION == '1.2' ? 'ack' : 'message-id'], headers)
end

def report(message) = say(message: message.body, redelivered: message.headers['redelivered'] == 'true')

case SCENARIO
when 'connect'
  say(connected: $client.connection_frame.headers['version'])
when 'send'
  $client.publish(DESTINATION, 'héllo', { 'content-type' => 'text/plain', 'kind' => 'a:b', 'receipt' => 'sent' })
  say(receipt: take.headers['receipt-id'] == 'sent')
when 'binary'
  subscribe('auto')
  body = take.body
  say(message: body.unpack1('H*'))
  $client.publish(DESTINATION, body)
when 'auto'
  subscribe('auto')
  3.times { say(message: take.body) }
when 'client', 'client-individual'
  subscribe(SCENARIO)
  messages = Array.new(3) { take }
  messages.each { |message| say(message: message.body) }
  ack(messages[1])
when 'nack'
  subscribe('client-individual')
  first = take
  report(first)
  ack(first, :nack)
  again = take
  report(again)
  ack(again)
when 'transaction'
  subscribe('client-individual')
  first = take
  second = take
  $client.begin('t1')
  $client.publish(DESTINATION, 'undone', { transaction: 't1' })
  ack(second, :ack, { transaction: 't1' })
  $client.abort('t1')
  $client.begin('t2')
  $client.publish(DESTINATION, 'done', { transaction: 't2' })
  ack(first, :ack, { transaction: 't2' })
  $client.commit('t2')
  say(transactions: true)
when 'reconnect'
  subscribe('client-individual')
  report(take)
  loop do
    message = take
    next if message.command == 'ERROR' # The broker says goodbye.

    report(message)
    ack(message)
    break if message.body == 'end'
  end
end
$client.disconnect(receipt: 'bye')
say(disconnected: $client.disconnect_receipt.headers['receipt-id'] == 'bye')
