# Makes one system call: NUMBER, then arguments `i:INTEGER`, `s:STRING` or `b:HEX`; prints its result and errno.
my ($number, @words) = @ARGV;
my @values = map {
    my ($kind, $text) = split /:/, $_, 2;
    $kind eq "i" ? ($text =~ /^0x/ ? hex $text : int $text) : $kind eq "s" ? "$text" : pack("H*", $text);
} @words;
my $result = syscall(int $number, @values);
my $error = $result == -1 ? $! + 0 : 0;
exit if $result == 0 && ($number == 56 || $number == 435);
print $result == -1 ? -1 : 0, " $error\n";
