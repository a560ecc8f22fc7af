// The headers have been tested by compiling them; this shows that they may meet in one program.
int main() { return 0; }
