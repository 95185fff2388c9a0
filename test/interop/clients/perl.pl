# Plays a scenario with Net::Stomp (Debian: libnet-stomp-perl) and prints what it sees, a JSON object a line.

use strict;
use warnings;
use utf8;
use Encode qw(encode_utf8);
use JSON::PP;
use Net::Stomp;

$| = 1;
my ( $scenario, $host, $port, $login, $passcode, $version, $destination, $ca ) = @ARGV;
my $source = "$destination-in";

sub say_json { print JSON::PP->new->canonical->latin1->encode( {@_} ), "\n" }
sub bool { $_[0] ? JSON::PP::true : JSON::PP::false }

my $client = Net::Stomp->new(
    { hostname => $host, port => $port, connect_delay => 0, timeout => 15,
      $ca ? ( ssl => 1, ssl_options => { SSL_ca_file => $ca } ) : () }
);
# It knows no versions: these headers ask for one, and `ack` and `nack` are told the headers that it wants.
my %offer = $version eq '1.0' ? () : ( 'accept-version' => $version, host => $host );
my $connected =
  $client->connect( { login => $login, passcode => $scenario eq 'refused' ? 'wrong' : $passcode, %offer } );

if ( $scenario eq 'refused' ) {
    say_json( refused => $connected->headers->{message} );
    exit;
}

sub subscribe { $client->subscribe( { destination => $source, id => 'sub', ack => $_[0] } ) }
sub take { $client->receive_frame }
sub reference {
    my ($frame) = @_;
    return ( frame => $frame, $version eq '1.2' ? ( id => $frame->headers->{ack} ) : (),
        $version eq '1.1' ? ( subscription => 'sub' ) : () );
}
sub report {
    my ($frame) = @_;
    say_json( message => $frame->body, redelivered => bool( ( $frame->headers->{redelivered} // '' ) eq 'true' ) );
}
sub frame { $client->send_frame( Net::Stomp::Frame->new( { command => $_[0], headers => $_[1] } ) ) }

if ( $scenario eq 'connect' ) {
    say_json( connected => $connected->headers->{version} );
}
elsif ( $scenario eq 'send' ) {
    # It escapes nothing: the caller does.
    my $kind = $version eq '1.0' ? 'a:b' : 'a\cb';
    my $ok   = $client->send_with_receipt(
        { destination => $destination, 'content-type' => 'text/plain', kind => $kind, body => encode_utf8('héllo') } );
    say_json( receipt => bool($ok) );
}
elsif ( $scenario eq 'binary' ) {
    subscribe('auto');
    my $body = take()->body;
    say_json( message => unpack( 'H*', $body ) );
    $client->send( { destination => $destination, body => $body, bytes_message => 1 } );
}
elsif ( $scenario eq 'auto' ) {
    subscribe('auto');
    say_json( message => take()->body ) for 1 .. 3;
}
elsif ( $scenario =~ /^client/ ) {
    subscribe($scenario);
    my @frames = map { take() } 1 .. 3;
    say_json( message => $_->body ) for @frames;
    $client->ack( { reference( $frames[1] ) } );
}
elsif ( $scenario eq 'nack' ) {
    subscribe('client-individual');
    my $first = take();
    report($first);
    $client->nack( { reference($first) } );
    my $again = take();
    report($again);
    $client->ack( { reference($again) } );
}
elsif ( $scenario eq 'transaction' ) {
    subscribe('client-individual');
    my ( $first, $second ) = ( take(), take() );
    frame( 'BEGIN', { transaction => 't1' } );
    $client->send( { destination => $destination, body => 'undone', transaction => 't1' } );
    $client->ack( { reference($second), transaction => 't1' } );
    frame( 'ABORT', { transaction => 't1' } );
    frame( 'BEGIN', { transaction => 't2' } );
    $client->send( { destination => $destination, body => 'done', transaction => 't2' } );
    $client->ack( { reference($first), transaction => 't2' } );
    frame( 'COMMIT', { transaction => 't2' } );
    say_json( transactions => bool(1) );
}
elsif ( $scenario eq 'reconnect' ) {
    subscribe('client-individual');
    report( take() );
    while (1) {

        # Nothing stands for the end of a connection; the next call makes a new one, and subscribes on it again.
        my $frame = take() // next;
        next if $frame->command eq 'ERROR';    # The broker says goodbye.
        report($frame);
        $client->ack( { reference($frame) } );
        last if $frame->body eq 'end';
    }
}
$client->disconnect;
say_json( disconnected => bool(1) );
