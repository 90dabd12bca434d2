/** A table that becomes a list where there is little room. */

import "@patternfly/react-styles/css/components/Table/table.css";
import "@patternfly/react-styles/css/components/Table/table-grid.css";
import type { ReactNode } from "react";

export interface Column<T> {
    title: string;
    cell(row: T): ReactNode;
    isNumber?: boolean;
}

export function Table<T>({ label, columns, rows, rowKey }: {
    label: string;
    columns: Column<T>[];
    rows: T[];
    rowKey(row: T, index: number): string;
}) {
    const number = (column: Column<T>) => column.isNumber ? " portero-number" : "";
    return (
        <table className="pf-v6-c-table pf-m-grid-md pf-m-compact" aria-label={label}>
            <thead className="pf-v6-c-table__thead">
                <tr className="pf-v6-c-table__tr">
                    {columns.map(column => (
                        <th key={column.title} className={`pf-v6-c-table__th pf-m-wrap${number(column)}`} scope="col">{column.title}</th>
                    ))}
                </tr>
            </thead>
            <tbody className="pf-v6-c-table__tbody">
                {rows.map((row, index) => (
                    <tr key={rowKey(row, index)} className="pf-v6-c-table__tr">
                        {columns.map(column => (
                            <td key={column.title} className={`pf-v6-c-table__td${number(column)}`} data-label={column.title}>
                                {column.cell(row)}
                            </td>
                        ))}
                    </tr>
                ))}
            </tbody>
        </table>
    );
}
