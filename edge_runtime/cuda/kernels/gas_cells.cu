// The gas of a mask on the coarse grid that leaks are followed on, as edge_runtime.leaks.cells counts
// it, so that the host need not touch the pixels of a mask that holds none.

// Class index of contract.label_map.
enum { GAS_SMOKE = 1 };

// mask, score: (.., width) bytes of one frame.
// cells: one word a cell, row by row; gas pixels in its lower half, the sum of their scores in its
// upper. Cells are `side` pixels wide and high, at most 8, and begin at the valid field's corner
// (left, top); those at its far edges are cut.
// Grid: one thread per cell, x across and y down.
extern "C" __global__ void gas_cells(
    const unsigned char *mask, const unsigned char *score, unsigned int *cells, int width, int left,
    int top, int valid_width, int valid_height, int side) {
    int columns = (valid_width + side - 1) / side;
    int rows = (valid_height + side - 1) / side;
    int column = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    int row = (int)(blockIdx.y * blockDim.y + threadIdx.y);
    if (column >= columns || row >= rows) {
        return;
    }
    int x_end = (column + 1) * side < valid_width ? (column + 1) * side : valid_width;
    int y_end = (row + 1) * side < valid_height ? (row + 1) * side : valid_height;
    unsigned int pixels = 0;
    unsigned int scores = 0;
    for (int y = row * side; y < y_end; ++y) {
        size_t line = (size_t)(top + y) * width + left;
        for (int x = column * side; x < x_end; ++x) {
            bool gas = mask[line + x] == GAS_SMOKE;
            pixels += gas;
            scores += gas ? score[line + x] : 0;
        }
    }
    cells[(size_t)row * columns + column] = scores << 16 | pixels;
}
