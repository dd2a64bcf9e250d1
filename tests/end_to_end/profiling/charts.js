// Stands in for Google Charts: shows the data of a chart as a table. Written for the tests.
(() => {
  class DataTable {
    constructor(data) { this.rows = []; this.columns = []; this.data = data; }
    addColumn(column) { this.columns.push(column); }
    addRow(row) { this.rows.push(row); }
    addRows(rows) { this.rows.push(...rows); }
    getNumberOfColumns() { return this.columns.length; }
    getNumberOfRows() { return this.rows.length; }
    getValue(row, column) { const cell = this.rows[row][column]; return cell?.v ?? cell; }
    setProperty() {} setColumnProperty() {} sort() {} insertRows() {} removeRow() {}
  }
  class Chart {
    constructor(element) { this.element = element; }
    draw(data) {
      const table = document.createElement("table");
      const shown = (_, column) => data.columns[column]?.role !== "tooltip";
      const heads = data.columns.filter(shown).map((column) => column.label ?? column.name ?? "");
      for (const row of [heads, ...data.rows.map((row) => row.filter(shown))]) {
        const line = table.insertRow();
        for (const cell of row) line.insertCell().textContent = cell?.f ?? cell?.v ?? cell;
      }
      this.element.replaceChildren(table);
    }
    clearChart() {} getSelection() { return []; } setSelection() {}
  }
  const names = ["PieChart", "ColumnChart", "AreaChart", "LineChart", "Table", "ScatterChart",
                 "SteppedAreaChart", "Histogram", "BarChart", "ComboChart"];
  const visualization = { DataTable, DataView: DataTable, events: { addListener() {} },
    arrayToDataTable(rows) { const t = new DataTable(); t.rows = rows; return t; } };
  for (const name of names) visualization[name] = Chart;
  window.google = { charts: { load() {}, setOnLoadCallback(f) { setTimeout(f, 0); } },
                    visualization };
})();
