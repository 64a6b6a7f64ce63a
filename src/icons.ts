import { LabIcon } from '@jupyterlab/ui-components';

import kaleServeSvg from '../style/icons/kale-serve.svg';
import lineageSvg from '../style/icons/lineage.svg';

export const kaleServeIcon = new LabIcon({ name: 'kale-serve-lab:kale', svgstr: kaleServeSvg });

export const lineageIcon = new LabIcon({ name: 'kale-serve-lab:lineage', svgstr: lineageSvg });
