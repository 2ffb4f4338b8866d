# The scenario through Perl's DBI: scenario.pl mysql | MariaDB. See ../README.md for what it reads and prints.
use strict;
use warnings;
use DBI qw(:sql_types);
use Encode;

my $driver = $ARGV[0];
my $prefix = lc $driver;    # of the driver's own attributes
my $db;
binmode STDOUT, ':raw';
$| = 1;

sub text {
    my ($value) = @_;
    return 'NULL' unless defined $value;
    $value = encode('UTF-8', $value) if utf8::is_utf8($value);
    my $copy = $value;
    return unpack 'H*', $value unless eval { decode('UTF-8', $copy, Encode::FB_CROAK); 1 };
    $value =~ s/([\0-\x1f\\"])/sprintf '\\x%02x', ord $1/ge;
    return "\"$value\"";
}

sub connected {
    my (%more) = @_;
    my %address = (schema => '', user => $ENV{ROUNDS_USER}, password => $ENV{ROUNDS_PASSWORD}, ca => '', %more);
    my $name = "dbi:$driver:host=$ENV{ROUNDS_HOST};port=$ENV{ROUNDS_PORT};database=$address{schema}";
    $name .= ";${prefix}_local_infile=1;${prefix}_multi_statements=1";
    $name .= ";${prefix}_ssl=1;${prefix}_ssl_ca_file=$address{ca}" if $address{ca};
    my %utf8 = $driver eq 'mysql' ? (mysql_enable_utf8mb4 => 1) : ();
    return DBI->connect($name, $address{user}, $address{password},
        { RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, %utf8 });
}

sub results {
    my ($statement) = @_;
    do {
        if ($statement->{NUM_OF_FIELDS}) {
            my @names = map { text($_) } @{ $statement->{NAME} };
            for my $i (0 .. $#names) {
                print join(' ', 'column', $names[$i], map { $_ // '-' } map { $statement->{$_}[$i] }
                    'TYPE', 'PRECISION', 'SCALE', 'NULLABLE', "${prefix}_type_name", "${prefix}_length", "${prefix}_table"), "\n";
            }
            while (my $row = $statement->fetchrow_arrayref) {
                print 'row ', join(' | ', map { text($_) } @$row), "\n";
            }
        } else {
            printf "done %s id %s warnings %s %s\n", $statement->rows, $statement->{"${prefix}_insertid"} // '-',
                $statement->{"${prefix}_warning_count"} // '-', text($db->{"${prefix}_info"});
        }
    } while ($statement->more_results);
}

sub run {
    my ($sql, $on_server, @values) = @_;
    my $statement = $db->prepare($sql, { "${prefix}_server_prepare" => $on_server });
    my $n = 0;
    $statement->bind_param(++$n, @$_) for @values;
    $statement->execute;
    results($statement);
}

# A parameter as bind_param takes it: a value and its type.
sub parameter {
    my ($type, $value) = split /:/, $_[0], 2;
    return [undef, SQL_VARCHAR] if $type eq 'n' || $type eq 'o';
    return [pack('H*', $value), SQL_BLOB] if $type eq 'x';
    return [decode('UTF-8', $value), SQL_VARCHAR] if $type eq 's';
    return [$value, $type eq 'i' ? SQL_INTEGER : SQL_DOUBLE];
}

sub options { map { my ($name, $value) = split /=/, $_, 2; $name => $value } split /&/, $_[0] // '' }

sub large {
    my ($size) = @_;
    my $data = "x\0\xff'" x ($size / 4) . 'y' x ($size % 4);
    for my $on_server (1, 0) {
        my $insert = $db->prepare('INSERT INTO large (data) VALUES (?)', { "${prefix}_server_prepare" => $on_server });
        $insert->bind_param(1, $data, SQL_BLOB);
        $insert->execute;
    }
    # It fetches into buffers of a size that is fixed before.
    my $rows = $db->selectcol_arrayref('SELECT data FROM large ORDER BY id DESC LIMIT 2');
    print 'came back as it went: ', join(' ', map { $_ eq $data ? 1 : 0 } @$rows), "\n";
}

sub stream {
    my $statement = $db->prepare($_[0], { "${prefix}_use_result" => 1 });
    $statement->execute;
    my ($rows, $sum) = (0, 0);
    while (my ($value) = $statement->fetchrow_array) { $rows += 1; $sum += $value }
    print "rows and sum $rows $sum\n";
}

my %verbs = (
    round => sub { },
    connect => sub { $db = connected(options($_[0])); print "connected\n" },
    refused => sub { connected(options($_[0])); print "accepted\n" },
    query => sub { run($_[0], 0) },
    load => sub { run($_[0] =~ s/\@FILE\@/$ENV{ROUNDS_FILE}/r, 0) },
    execute => sub {
        my $sql = shift;
        run($sql, 1, map { parameter($_) } @_);
    },
    batch => sub {
        my $statement = $db->prepare(shift, { "${prefix}_server_prepare" => 1 });
        $statement->execute(parameter($_)->[0]) for @_;
    },
    begin => sub { $db->begin_work },
    commit => sub { $db->commit },
    rollback => sub { $db->rollback },
    stream => \&stream,
    large => \&large,
    kill => sub {
        eval { $db->do('KILL ' . $db->{"${prefix}_thread_id"}); $db->do('SELECT 1'); 1 } or print "killed\n";
    },
    pool => sub {
        $db = connected(schema => 'scenario') for 1 .. $_[0];
        run('SELECT CONNECTION_ID() > 0', 0);
    },
    reset => sub { print "skipped\n" },
);

$db = connected();
open my $scenario, '<', $ENV{ROUNDS_SCENARIO} or die "$ENV{ROUNDS_SCENARIO}: $!";
while (my $line = <$scenario>) {
    chomp $line;
    next if $line eq '' || $line =~ /^#/;
    print "> $line\n";
    my ($verb, @rest) = split /\t/, $line;
    next if eval { $verbs{$verb}->(@rest); 1 };
    die $@ unless $DBI::err;
    print join(' ', 'error', $DBI::err, $DBI::state, text($DBI::errstr)), "\n";
    $db->{AutoCommit} = 1 if $verb eq 'connect';
}
