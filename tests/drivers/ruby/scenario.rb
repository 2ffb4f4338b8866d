# The scenario through Ruby's mysql2. See ../README.md for what it reads and prints.
require 'mysql2'
require 'uri'

class Scenario
  def initialize
    @db = connected
  end

  def connected(more = {})
    address = { host: ENV['ROUNDS_HOST'], port: ENV['ROUNDS_PORT'].to_i, username: ENV['ROUNDS_USER'],
                password: ENV['ROUNDS_PASSWORD'], encoding: 'utf8mb4', local_infile: true,
                flags: Mysql2::Client::MULTI_STATEMENTS }
    address[:username] = more['user'] if more['user']
    address[:password] = more['password'] if more['password']
    address[:database] = more['schema'] if more['schema']
    address.merge!(sslca: more['ca'], ssl_mode: :required) if more['ca']
    Mysql2::Client.new(address)
  end

  def text(value)
    return 'NULL' if value.nil?
    return value.to_s('F') if value.is_a?(BigDecimal)
    return value.strftime('%F %T.%6N %:z') if value.is_a?(Time)
    return value.to_s unless value.is_a?(String)

    value.encoding != Encoding::BINARY && value.valid_encoding? ? value.inspect : value.unpack1('H*')
  end

  def result(result, statement = @db)
    return puts "done #{statement.affected_rows} id #{statement.last_id} #{@db.query_info}" if result.nil?

    puts "columns #{result.fields.inspect}"
    result.each(as: :array) { |row| puts "row #{row.map { |value| text(value) }.join(' | ')}" }
  end

  def query(sql)
    result(@db.query(sql))
    result(@db.store_result) while @db.next_result
  ensure
    @db.abandon_results! unless @db.closed?
  end

  def load(sql) = query(sql.sub('@FILE@', ENV['ROUNDS_FILE']))

  def execute(sql, *parameters)
    statement = @db.prepare(sql)
    result(statement.execute(*parameters.map { |text| parameter(text) }), statement)
  ensure
    @db.abandon_results! unless @db.closed?
    statement&.close
  end

  def batch(sql, *parameters)
    statement = @db.prepare(sql)
    parameters.each { |text| statement.execute(parameter(text)) }
  end

  def parameter(text)
    type, value = text.split(':', 2)
    case type
    when 'i' then value.to_i
    when 'f' then value.to_f
    when 's' then value
    when 'x' then [value].pack('H*')
    end
  end

  def begin = query('BEGIN')
  def commit = query('COMMIT')
  def rollback = query('ROLLBACK')

  def stream(sql)
    rows = sum = 0
    # Held by a name: a result that is collected while it is read ends early.
    result = @db.query(sql, stream: true, cache_rows: false, as: :array)
    result.each { |(value)| rows += 1; sum += value }
    puts "rows and sum #{rows} #{sum}"
  end

  def large(size)
    data = ("x\0\xff'".b * (size.to_i / 4)) + ('y' * (size.to_i % 4))
    @db.prepare('INSERT INTO large (data) VALUES (?)').execute(data)
    @db.query("INSERT INTO large (data) VALUES ('".b + @db.escape(data) + "')".b)
    select = 'SELECT data FROM large ORDER BY id DESC LIMIT 2'
    rows = @db.query(select).to_a + @db.prepare(select).execute.to_a
    puts "came back as it went: #{rows.map { |row| row['data'].b == data }}"
  end

  def connect(options = '')
    @db = connected(URI.decode_www_form(options).to_h)
    puts 'connected'
  end

  def refused(options)
    connected(URI.decode_www_form(options).to_h)
    puts 'accepted'
  end

  def kill
    @db.query("KILL #{@db.thread_id}")
    @db.query('SELECT 1')
  rescue Mysql2::Error
    puts 'killed'
  end

  def pool(size)
    size.to_i.times { @db = connected('schema' => 'scenario') }
    query('SELECT CONNECTION_ID() > 0')
  end

  def reset = puts('skipped')
  def round(_name) = nil
end

$stdout.sync = true
scenario = Scenario.new
File.foreach(ENV['ROUNDS_SCENARIO'], chomp: true, encoding: 'UTF-8') do |line|
  next if line.empty? || line.start_with?('#')

  puts "> #{line}"
  begin
    scenario.public_send(*line.split("\t"))
  rescue Mysql2::Error => e
    puts "error #{e.error_number} #{e.sql_state} #{e.message}"
  end
end
