#include <cstdio>
int main() { std::puts("caltrop"); }
